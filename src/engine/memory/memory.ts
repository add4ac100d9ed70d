import { Connections } from "../connections.ts";
import type { Engine } from "../engine.ts";
import { MemoryCodes } from "./codes.ts";
import { restorer, type StateRecord, takeSnapshot } from "./snapshot.ts";
import { Turns, type TurnsOptions } from "./turns.ts";

export interface MemoryEngine extends Engine {
  /** What a successor needs to go on, once every seat is given up; nothing may change meanwhile. */
  snapshot(): Iterable<StateRecord>;
  /** Takes over a record of a predecessor's, in their order, before anything else is asked. */
  restore(record: StateRecord): void;
}

/** Where space is short, rooms whose time is over are looked for this often, not at each refusal. */
const sweptAgainAfterMs = 1_000;

/** State in the Maps of one process. Every verb answers in the same turn. */
export function memoryEngine({
  now,
  limits,
  dropped,
}: Pick<TurnsOptions, "now" | "limits" | "dropped">): MemoryEngine {
  const codes = new MemoryCodes(now, limits.redeemWindowMs, (appId) => turns.take(appId, "redeem"));
  const turns = new Turns({
    ...{ now, limits, dropped },
    codeOf: (appId) => codes.ofRoom(appId),
    hear: (message) => connections.hear(message),
  });
  let sweptAt = Number.NEGATIVE_INFINITY;
  function sweepRooms(): void {
    sweptAt = now();
    turns.sweep();
  }
  const connections: Connections = new Connections({
    node: turns.node,
    isAlone: true,
    seats: turns.seats,
    turn: (appId, verb, holder, first, second) => turns.take(appId, verb, holder, first, second),
    send() {},
    sweepIfDue() {
      if (now() - sweptAt >= sweptAgainAfterMs || now() < sweptAt) sweepRooms();
    },
    after(_, run) {
      queueMicrotask(run);
      return () => {};
    },
  });

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
      sweepRooms();
    },
    sizes() {
      const { bareRooms: _, ...sums } = turns.sums;
      return { ...codes.sizes(), ...sums, streamBytes: 0 };
    },
    close: () => Promise.resolve(),
    snapshot: () => takeSnapshot(turns, codes, now),
    restore: restorer(turns, codes, now),
  };
}
