import type { AppId, Code } from "../../base/ids.ts";

/** Under which names everything is kept. What belongs together has one hash tag. */
export function keysUnder(prefix: string) {
  const house = `${prefix}{rv}:`;
  return {
    prefix,
    live: `${house}live`,
    used: `${house}used`,
    clients: `${house}clients`,
    guessers: `${house}guessers`,
    allMisses: `${house}misses`,
    busy: `${house}busy`,
    empty: `${house}empty`,
    bare: `${house}bare`,
    use: `${house}use`,
    holds: `${house}holds`,
    settings: `${house}settings`,
    /** What the names of each kind of key begin with. */
    ofRoom: `${house}room:`,
    ofClient: `${house}client:`,
    code: (code: Code) => `${house}code:${code}`,
    misses: (guesser: string) => `${house}misses:${guesser}`,
    operation: (id: string) => `${house}operation:${id}`,
    node: (id: string) => `${prefix}node:${id}`,
    /** All that a script about this room may touch, in the order of `room.lua`. */
    room(appId: AppId): readonly string[] {
      const room = `${prefix}{${appId}}`;
      const sides = roomParts.flatMap((part) => [`${room}:${part}A`, `${room}:${part}B`]);
      const house = [this.busy, this.empty, this.bare, this.use, this.holds];
      return [room, ...sides, this.ofRoom + appId, ...house];
    },
  };
}

const roomParts = ["mail", "hold", "ring", "ids", "order"] as const;

export type Keys = ReturnType<typeof keysUnder>;
