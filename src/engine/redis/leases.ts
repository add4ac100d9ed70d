import type { Cancel, Clock, Random } from "../../base/clock.ts";
import { numberAt, textAt } from "./rooms-store.ts";
import { roomScripts } from "./scripts/scripts.ts";
import type { LocalSeat } from "./seat.ts";
import type { SeatBook } from "./seat-book.ts";
import type { Store } from "./store.ts";
import type { Tenancy } from "./tenancy.ts";

export interface LeasesOptions {
  readonly store: Pick<Store, "canAsk">;
  readonly book: SeatBook;
  readonly tenancy: Tenancy;
  readonly clock: Clock;
  readonly random: Random;
  readonly leaseMs: number;
  /** How long Redis is given to answer. */
  readonly timeoutMs: number;
  /** Fetches the frames that a seat has missed, when the last one sent to it is `last`. */
  readonly catchUp: (seat: LocalSeat, last: number) => void;
}

export interface Leases {
  /** The connections to Redis are up again: what was said meanwhile was not heard. */
  reconnected(): void;
  readonly stop: Cancel;
}

/** Over how long the seats of a node look after themselves when Redis is back. */
const healingMs = 2_000;

/**
 * Keeps the seats of this node: renews each lease three times over, and with it finds out what was
 * said and not heard. The node that dies stops renewing, and its seats are free when their leases end.
 *
 *     kept --renewed: ok-->    kept     missed frames, mail and comings of the peer are made up for
 *     kept --renewed: lost-->  replaced
 *     kept --renewed: gone-->  kept     taken anew: the room had vanished
 *     kept --lease over-->     cut off, unless both sides are here and need no Redis
 */
export function startLeases(options: LeasesOptions): Leases {
  const { store, book, tenancy, clock, random, leaseMs, timeoutMs } = options;

  async function renew(seat: LocalSeat): Promise<void> {
    const askedAt = clock.monotonicMs();
    const { peerNews } = seat;
    seat.renewing = true;
    seat.renewAt = askedAt + leaseMs / 3;
    try {
      const reply = await tenancy.runAsOwner(seat, roomScripts.renew);
      seat.renewFailed = false;
      if (reply[0] !== "ok" || !seat.isHeld) return;
      seat.leasedUntil = askedAt + leaseMs;
      options.catchUp(seat, numberAt(reply, 1));
      if (numberAt(reply, 2) > seat.lastRead) seat.listener.mailStored();
      // An answer is not to undo what was heard after it was given; the next one will do.
      if (seat.peerNews === peerNews) seePeer(seat, numberAt(reply, 3), textAt(reply, 4));
    } catch {
      seat.renewFailed = true;
      seat.renewAt = clock.monotonicMs() + Math.min(leaseMs / 10, timeoutMs);
    } finally {
      seat.renewing = false;
    }
  }

  /** The peer came or went, and the message was lost. */
  function seePeer(seat: LocalSeat, token: number, node: string): void {
    if ((seat.peer?.token ?? 0) === token) return;
    if (seat.peer) seat.listener.peerLeft();
    seat.peer = token === 0 ? undefined : { token, node };
    if (seat.peer) seat.listener.peerJoined();
  }

  function tick(): void {
    const at = clock.monotonicMs();
    for (const seat of book.all) {
      // A process that was stopped itself asks first: its seats may well be its own still.
      const over = at > seat.leasedUntil && (!store.canAsk || seat.renewFailed);
      if (over && !tenancy.peerHere(seat)) tenancy.cutOff(seat);
      else if (store.canAsk && at >= seat.renewAt && !seat.renewing) void renew(seat);
    }
  }

  return {
    reconnected() {
      for (const seat of book.all) {
        seat.renewAt = clock.monotonicMs() + random(Math.min(healingMs, Math.ceil(leaseMs)));
        // A sender that waits may have missed that it need not.
        seat.listener.peerDrained();
      }
    },
    stop: clock.every(Math.max(20, leaseMs / 60), tick),
  };
}
