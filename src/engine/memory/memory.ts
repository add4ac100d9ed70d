import type { Engine, EngineLimits } from "../engine.ts";
import type { Turn } from "../rules/turn.ts";
import { MemoryRooms } from "./rooms.ts";
import { restorer, type StateRecord, takeSnapshot } from "./snapshot.ts";

export interface MemoryEngine extends Engine {
  /** What a successor needs to go on, once every seat is given up; nothing may change meanwhile. */
  snapshot(): Iterable<StateRecord>;
  /** Takes over a record of a predecessor's, in their order, before anything else is asked. */
  restore(record: StateRecord): void;
}

/**
 * State in the Maps of one process. Every verb answers in the same turn. `now`: ms since the epoch, which never
 * goes back: the engine knows no other time. `dropped` is called for what was accepted and is given up.
 */
export function memoryEngine({
  now,
  limits,
  dropped,
}: {
  readonly now: () => number;
  readonly limits: EngineLimits;
  readonly dropped: Turn["dropped"];
}): MemoryEngine {
  const rooms = new MemoryRooms(now, limits, dropped);
  const { codes, connections } = rooms;
  return {
    codes,
    rooms: connections.rooms,
    seats: connections.seats,
    relay: connections.relay,
    mailboxes: connections.mailboxes,
    now,
    ready: () => undefined,
    warning: () => undefined,
    sweep() {
      codes.sweep();
      rooms.sweep();
    },
    sizes() {
      const { bareRooms: _, ...sums } = rooms.sums;
      return { ...codes.sizes(), ...sums, streamBytes: 0 };
    },
    close: () => Promise.resolve(),
    snapshot: () => takeSnapshot(rooms, codes, now),
    restore: restorer(rooms, codes, now),
  };
}
