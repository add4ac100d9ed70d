import type { Engine, EngineLimits } from "../engine.ts";
import type { Turn } from "../rules/turn.ts";
import { MemoryRooms } from "./rooms.ts";
import { restorer, type StateRecord, takeSnapshot } from "./snapshot.ts";

export interface MemoryEngine extends Engine {
  /** All state for a later process. All seats must be given up, and nothing may change while it is read. */
  snapshot(): Iterable<StateRecord>;
  /** Restores a record of `snapshot`. Call it with all records, in order, before any other verb. */
  restore(record: StateRecord): void;
}

/**
 * An engine with its state in Maps of one process. Every verb returns a value, not a promise. `now`: ms since
 * the epoch, never going back; it is the engine's only clock. `dropped` is called for each accepted frame or
 * mail that is dropped.
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
