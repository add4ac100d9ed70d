import { otherSide } from "../../base/ids.ts";
import type { MaybePromise } from "../../base/maybe-promise.ts";
import type { EngineLimits, Relay, RelayOutcome, RelayType } from "../engine.ts";
import type { Keys } from "./keys.ts";
import { type Numbered, parseRingEntry, type SeatMessage, seatMessageText } from "./messages.ts";
import { numberAt, textAt } from "./rooms-store.ts";
import { roomScripts } from "./scripts/scripts.ts";
import { type LocalSeat, ownSeat } from "./seat.ts";
import type { SeatBook } from "./seat-book.ts";
import type { Reply, Store } from "./store.ts";
import type { Tenancy } from "./tenancy.ts";

export interface RedisRelayOptions {
  readonly store: Store;
  readonly keys: Keys;
  readonly book: SeatBook;
  readonly tenancy: Tenancy;
  readonly limits: EngineLimits;
  readonly lostFrames: (count: number) => void;
}

export interface RedisRelay extends Relay {
  /** A frame came for a seat on this node. */
  came(seat: LocalSeat, frame: SeatMessage & { readonly kind: "frame" }): void;
  /** Relay to the seat has begun; frames up to `after` are not its own. */
  begun(seat: LocalSeat, after: number): void;
  /** Fetches what was sent to the seat and has not come, when the last frame sent is `last`. */
  catchUp(seat: LocalSeat, last: number): void;
}

/**
 * Frames between two seats, wherever their connections are.
 *
 * A frame goes through Redis: one script numbers it, keeps it in a short ring and publishes it to the
 * receiver's node. Published messages can get lost; the numbers show it, and the ring has the frame.
 *
 * Where both connections are on this node, frames go straight from one to the other, in the turn in
 * which they came and also while Redis is unreachable. That needs no lock: a seat taken over
 * elsewhere is known here a moment later, and before the sender hears that its peer has come anew;
 * what went to the old connection in that moment is as lost as anything else written to a connection
 * that is about to be closed. Order holds because the short way is not taken before all that went the
 * long way has come.
 */
export function redisRelay(options: RedisRelayOptions): RedisRelay {
  const { store, keys, book, tenancy, limits } = options;
  const bounds = [limits.holdMaxFrames, limits.holdMaxBytes];

  /** The receiver of frames that need no Redis. */
  function receiverHere(seat: LocalSeat): LocalSeat | undefined {
    const peer = book.latest(seat.appId, otherSide(seat.side));
    if (peer?.next === undefined || peer.isReplaced || seat.sending > 0) return undefined;
    return peer.next > seat.lastSent && !peer.hasGap ? peer : undefined;
  }

  async function publishFar(
    seat: LocalSeat,
    frame: string,
    type: RelayType,
  ): Promise<RelayOutcome> {
    seat.sending++;
    try {
      const args = [type, frame, ...bounds];
      const reply = await tenancy.runAsOwnerOrDrop(seat, roomScripts.publish, args);
      switch (reply[0]) {
        case "delivered":
          seat.lastSent = Math.max(seat.lastSent, numberAt(reply, 1));
          return (await isEasy(seat, seat.lastSent)) ? "delivered" : "congested";
        case "held":
        case "no_peer":
        case "hold_full":
        case "hold_share":
          return reply[0];
        case "full":
          return "hold_full";
        default:
          return "replaced";
      }
    } finally {
      seat.sending--;
    }
  }

  /** What a receiver on this node says to a frame; one elsewhere will say it if it has to wait. */
  async function isEasy(seat: LocalSeat, number: number): Promise<boolean> {
    const peer = book.latest(seat.appId, otherSide(seat.side));
    if (peer === undefined || peer.isReplaced) return true;
    if (peer.next === undefined) await start(peer, false);
    else if (peer.next <= number) await pull(peer);
    return peer.writable;
  }

  function handOn(seat: LocalSeat, frames: readonly Numbered[]): void {
    for (const { frame, type } of frames) {
      if (seat.isHeld) seat.writable = seat.listener.relayed(frame, type);
    }
  }

  function tellPeer(
    seat: LocalSeat,
    kind: "congested" | "drained",
    token: number,
    node: string,
  ): void {
    const { appId } = seat;
    const text = seatMessageText(kind, { appId, side: otherSide(seat.side), token });
    store.tell(keys.node(node), text).catch(() => {});
  }

  function catchUp(seat: LocalSeat, last: number): void {
    if (seat.next === undefined || (last < seat.next && !seat.hasGap)) return;
    void pull(seat);
  }

  async function start(seat: LocalSeat, discard: boolean): Promise<void> {
    const args = [discard ? 1 : 0, ...bounds];
    // Without an answer the seat was given up, and that was told.
    const reply = await tenancy
      .runAsOwnerOrDrop(seat, roomScripts.start, args)
      .catch(() => undefined);
    if (reply?.[0] !== "begun") return;
    handOn(seat, seat.begin(numberAt(reply, 1)));
    for (const frame of framesFrom(reply)) handOn(seat, seat.come(frame));
    if (seat.hasGap) catchUp(seat, 0);
  }

  /** Fetches the ring. Where that fails, the next renewal of the lease sees what is missing. */
  function pull(seat: LocalSeat): Promise<void> {
    seat.pulling ??= fetchRing(seat)
      .catch(() => {})
      .finally(() => {
        seat.pulling = undefined;
      });
    return seat.pulling;
  }

  async function fetchRing(seat: LocalSeat): Promise<void> {
    const reply = await tenancy.runAsOwner(seat, roomScripts.pull);
    if (reply[0] !== "frames") return;
    const { due, lost } = seat.catchUp(framesFrom(reply));
    if (lost > 0) options.lostFrames(lost);
    handOn(seat, due);
  }

  return {
    publish(seat, frame, type): MaybePromise<RelayOutcome> {
      const own = ownSeat(seat);
      if (!own.isHeld) return "replaced";
      const receiver = receiverHere(own);
      if (receiver === undefined) return publishFar(own, frame, type);
      receiver.writable = receiver.listener.relayed(frame, type);
      return receiver.writable ? "delivered" : "congested";
    },

    start: (seat, discard) => start(ownSeat(seat), discard),

    drained(seat) {
      const own = ownSeat(seat);
      if (!own.isHeld) return;
      const here = book.latest(own.appId, otherSide(own.side));
      if (here) here.listener.peerDrained();
      else if (own.peer) tellPeer(own, "drained", own.peer.token, own.peer.node);
    },

    came(seat, message) {
      const due = seat.come(message);
      handOn(seat, due);
      if (seat.hasGap) catchUp(seat, message.number);
      if (due.length > 0 && !seat.writable)
        tellPeer(seat, "congested", message.fromToken, message.fromNode);
    },

    begun(seat, after) {
      handOn(seat, seat.begin(after));
    },

    catchUp,
  };
}

/** What stands behind the first two words of a reply. */
function framesFrom(reply: Reply): readonly Numbered[] {
  return reply.slice(2).map((_, i) => parseRingEntry(textAt(reply, i + 2)));
}
