import { until } from "../../support/waiting.ts";
import { type Hearing, LoadSocket } from "../load-socket.ts";

export const roomFullBytes = Buffer.byteLength('{"type":"room_full"}');

/** Sockets that are connecting at a time. */
const atOnce = 64;

export interface Pairs {
  /** By room: A and B. */
  readonly rooms: readonly (readonly [LoadSocket, LoadSocket])[];
  /** Opens more, until there are so many rooms. */
  grow(rooms: number): Promise<void>;
  /** A connection that ended, which none should. */
  failure(): Error | undefined;
  terminate(): void;
}

export interface PairsOptions {
  readonly port: number;
  readonly heard?: Pick<Hearing, "text" | "turn">;
  readonly sid?: string;
}

/** Pairs of sockets, each in a room of its own. */
export function openPairs({ port, heard, sid }: PairsOptions): Pairs {
  const rooms: [LoadSocket, LoadSocket][] = [];
  let over = false;
  let failed: Error | undefined;
  let opened = 0;
  let full = 0;
  let next: () => void = () => {};
  const hearing: Hearing = {
    opened() {
      opened++;
      next();
    },
    text(socket, bytes, start, end) {
      if (end - start === roomFullBytes) full++;
      heard?.text(socket, bytes, start, end);
    },
    closed(socket) {
      if (!over) failed ??= new Error(`A socket of room ${socket.room} ended: ${socket.fault}`);
    },
    ...(heard?.turn && { turn: heard.turn }),
  };

  function socketAt(index: number, appId: string): LoadSocket {
    const side = index % 2 === 0 ? "A" : "B";
    const door = { port, appId, side, ...(sid !== undefined && { sid }) } as const;
    const socket = new LoadSocket(door, hearing);
    socket.room = index >> 1;
    return socket;
  }

  return {
    rooms,
    failure: () => failed,
    async grow(count) {
      const fresh: LoadSocket[] = [];
      while (rooms.length < count) {
        const appId = crypto.randomUUID();
        const at = rooms.length * 2;
        const pair: [LoadSocket, LoadSocket] = [socketAt(at, appId), socketAt(at + 1, appId)];
        rooms.push(pair);
        fresh.push(...pair);
      }
      const waiting = fresh.values();
      next = () => waiting.next().value?.connect();
      for (let i = 0; i < atOnce; i++) next();
      await until(
        `${2 * count} sockets in full rooms`,
        () => {
          if (failed !== undefined) throw failed;
          return opened === 2 * count && full === 2 * count;
        },
        60_000,
      );
    },
    terminate() {
      over = true;
      for (const socket of rooms.flat()) socket.terminate();
    },
  };
}
