import type { Cancel } from "../../base/clock.ts";
import type { LocalSeat } from "./local-seats.ts";
import type { RedisNode } from "./node.ts";
import { catchUp } from "./relay.ts";
import { roomScripts } from "./scripts/scripts.ts";
import { numberAt, textAt } from "./store.ts";

/** Over how long the seats of a node are renewed when Redis is connected again. */
const healingMs = 2_000;

/**
 * Keeps the seats of a node: renews each lease three times over, and with it finds what was published
 * and not heard. The node that dies stops renewing, and its seats are free when their leases end.
 *
 *     kept --renewed: ok-->    kept     missed frames, mail and changes of the peer are made up for
 *     kept --renewed: lost-->  replaced
 *     kept --renewed: gone-->  kept     taken anew: the room had vanished
 *     kept --lease over-->     cut off, unless both sides are here and need no Redis
 */
export function startLeases(node: RedisNode): {
  readonly renewAll: () => void;
  readonly stop: Cancel;
} {
  const { clock, random, leaseMs, timeoutMs } = node.options;
  let couldAsk = true;

  async function renew(seat: LocalSeat): Promise<void> {
    const askedAt = clock.monotonicMs();
    const { peerChanges } = seat;
    seat.renewing = true;
    seat.renewAt = askedAt + leaseMs / 3;
    try {
      const reply = await node.runAsOwner(seat, roomScripts.renew);
      seat.renewFailed = false;
      if (reply[0] !== "ok" || !seat.isHeld) return;
      seat.leasedUntil = askedAt + leaseMs;
      catchUp(node, seat, numberAt(reply, 1));
      if (numberAt(reply, 2) > seat.lastRead) seat.listener.mailStored();
      // An answer must not undo a message that was heard after it was given; the next one will do.
      if (seat.peerChanges === peerChanges) updatePeer(seat, numberAt(reply, 3), textAt(reply, 4));
    } catch {
      seat.renewFailed = true;
      seat.renewAt = clock.monotonicMs() + Math.min(leaseMs / 10, timeoutMs);
    } finally {
      seat.renewing = false;
    }
  }

  function tick(): void {
    const at = clock.monotonicMs();
    const { canAsk } = node.store;
    const canAskAgain = canAsk && !couldAsk;
    couldAsk = canAsk;
    for (const seat of node.seats.all) {
      // What failed before Redis could be asked again does not count: its seat is renewed first.
      if (canAskAgain) seat.renewFailed = false;
      // A process that was stopped itself renews first: its seats may well be its own still.
      const over = at > seat.leasedUntil && (!canAsk || seat.renewFailed);
      if (over && !node.peerHere(seat)) node.cutOff(seat);
      else if (canAsk && at >= seat.renewAt && !seat.renewing) void renew(seat);
    }
  }

  return {
    /** What was published while Redis was not connected has not been heard. */
    renewAll() {
      for (const seat of node.seats.all) {
        seat.renewAt = clock.monotonicMs() + random(Math.min(healingMs, Math.ceil(leaseMs)));
        // A sender that waits for its peer may have missed that it need not.
        seat.listener.peerDrained();
      }
    },
    stop: clock.every(Math.max(20, leaseMs / 60), tick),
  };
}

/** The peer came or went, and the message was lost. */
function updatePeer(seat: LocalSeat, token: number, node: string): void {
  if ((seat.peer?.token ?? 0) === token) return;
  if (seat.peer) seat.listener.peerLeft();
  seat.peer = token === 0 ? undefined : { token, node };
  if (seat.peer) seat.listener.peerJoined();
}
