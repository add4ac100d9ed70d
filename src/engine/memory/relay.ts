import { otherSide } from "../../base/ids.ts";
import type { EngineLimits, Relay } from "../engine.ts";
import type { Budget } from "./budget.ts";
import { Hold, holdIsOver } from "./hold.ts";
import { type Dropped, type MemorySeat, ownSeat, type Place } from "./rooms.ts";

export interface RelayOptions {
  readonly now: () => number;
  readonly limits: EngineLimits;
  readonly budget: Budget;
  readonly dropped: Dropped;
}

export interface MemoryRelay extends Relay {
  /** Drops what is held for sides that did not come back in time. */
  sweep(): void;
}

export function memoryRelay({ now, limits, budget, dropped }: RelayOptions): MemoryRelay {
  /** Sides for which something is, or lately was, held. */
  const holding = new Set<Place>();

  function begin(seat: MemorySeat): void {
    seat.started = true;
    for (const { frame, type } of seat.room[seat.side].hold?.takeAll() ?? []) {
      seat.listener.relayed(frame, type);
    }
  }

  return {
    publish(seat, frame, type) {
      const { isHeld, peer, room, side, token } = ownSeat(seat);
      if (!isHeld) return "replaced";
      if (peer?.started) return peer.listener.relayed(frame, type) ? "delivered" : "congested";
      const place = room[otherSide(side)];
      if (peer === undefined) {
        if (place.leftAt === undefined) return "no_peer";
        if (holdIsOver(place.leftAt, limits.relayHoldMs, now())) return "no_peer";
      }
      place.hold ??= new Hold(limits, budget);
      holding.add(place);
      if (type === "offer") dropped("stale", place.hold.dropEarlier(token));
      const kept = place.hold.keep(frame, type, token, ownSeat(seat).accounts);
      if (peer === undefined || kept === "held") return kept;
      begin(peer);
      return peer.listener.relayed(frame, type) ? "delivered" : "congested";
    },
    start(seat, discard) {
      const mine = ownSeat(seat);
      if (!mine.isHeld) return;
      if (discard) dropped("stale", mine.room[mine.side].hold?.clear() ?? 0);
      begin(mine);
    },
    drained(seat) {
      ownSeat(seat).peer?.listener.peerDrained();
    },
    sweep() {
      const at = now();
      for (const place of holding) {
        if (place.hold !== undefined && holdIsOver(place.leftAt, limits.relayHoldMs, at)) {
          dropped("hold_expired", place.hold.clear());
        }
        if (place.hold === undefined || place.hold.size === 0) holding.delete(place);
      }
    },
  };
}
