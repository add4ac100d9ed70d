import type { Account } from "../../base/account.ts";
import { otherSide } from "../../base/ids.ts";
import type { EngineLimits, Relay, RelayOutcome, RelayType, Seat } from "../engine.ts";
import { type Budget, costOf } from "./budget.ts";
import { holdIsOver, type MemorySeat, type MemoryState, ownSeat, type Place } from "./rooms.ts";

export function memoryRelay({ now, limits, budget, dropped }: MemoryState) {
  /** Sides for which something is, or lately was, held. */
  const holding = new Set<Place>();

  function begin(seat: MemorySeat): void {
    seat.started = true;
    for (const { frame, type } of seat.room[seat.side].hold?.takeAll() ?? []) {
      seat.listener.relayed(frame, type);
    }
  }

  return {
    publish(seat: Seat, frame: string, type: RelayType): RelayOutcome {
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
    start(seat: Seat, discard: boolean): void {
      const mine = ownSeat(seat);
      if (!mine.isHeld) return;
      if (discard) dropped("stale", mine.room[mine.side].hold?.clear() ?? 0);
      begin(mine);
    },
    drained(seat: Seat): void {
      ownSeat(seat).peer?.listener.peerDrained();
    },
    /** Drops what is held for sides that did not come back in time. */
    sweep(): void {
      const at = now();
      for (const place of holding) {
        if (place.hold !== undefined && holdIsOver(place.leftAt, limits.relayHoldMs, at)) {
          dropped("hold_expired", place.hold.clear());
        }
        if (place.hold === undefined || place.hold.size === 0) holding.delete(place);
      }
    },
  } satisfies Relay & { sweep(): void };
}

interface Held {
  readonly frame: string;
  readonly type: RelayType;
  /** The seat token of the connection it came from. */
  readonly from: number;
  readonly bytes: number;
  readonly accounts: readonly Account[];
}

/** Relay frames kept for a side that is between two sockets, in order. */
export class Hold {
  private frames: Held[] = [];
  private bytes = 0;

  constructor(
    private readonly limits: EngineLimits,
    private readonly budget: Budget,
  ) {}

  get size(): number {
    return this.frames.length;
  }

  /** Nothing is kept when a bound is reached. */
  keep(
    frame: string,
    type: RelayType,
    from: number,
    accounts: readonly Account[],
  ): "held" | "hold_full" | "hold_share" {
    const bytes = Buffer.byteLength(frame);
    if (this.frames.length >= this.limits.holdMaxFrames) return "hold_full";
    if (this.bytes + bytes > this.limits.holdMaxBytes) return "hold_full";
    const cost = costOf(frame, bytes);
    const against = this.budget.against(cost, accounts);
    if (against !== undefined) return against === "full" ? "hold_full" : "hold_share";
    this.budget.take("held", cost, accounts);
    this.bytes += bytes;
    this.frames.push({ frame, type, from, bytes, accounts });
    return "held";
  }

  /** Everything held, in order; the hold is empty afterwards. */
  takeAll(): readonly Held[] {
    const taken = this.frames;
    this.clear();
    return taken;
  }

  /** Drops what other connections than `from` had held. Answers how many frames that was. */
  dropEarlier(from: number): number {
    const before = this.frames;
    this.frames = before.filter((held) => held.from === from);
    for (const held of before) if (held.from !== from) this.giveBack(held);
    return before.length - this.frames.length;
  }

  /** Drops everything. Answers how many frames that was. */
  clear(): number {
    const dropped = this.frames.length;
    for (const held of this.frames) this.giveBack(held);
    this.frames = [];
    return dropped;
  }

  private giveBack({ frame, bytes, accounts }: Held): void {
    this.bytes -= bytes;
    this.budget.take("held", -costOf(frame, bytes), accounts);
  }
}
