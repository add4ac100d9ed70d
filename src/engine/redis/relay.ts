import { otherSide } from "../../base/ids.ts";
import type { MaybePromise } from "../../base/maybe-promise.ts";
import type { Relay, RelayOutcome, RelayType } from "../engine.ts";
import { type LocalSeat, ownSeat } from "./local-seats.ts";
import { type Numbered, parseRingEntry, type SeatMessage, seatMessageText } from "./messages.ts";
import type { RedisNode } from "./node.ts";
import { roomScripts } from "./scripts/scripts.ts";
import { numberAt, type Reply, textAt } from "./store.ts";

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
export function redisRelay(node: RedisNode): Relay {
  return {
    publish(seat, frame, type): MaybePromise<RelayOutcome> {
      const own = ownSeat(seat);
      if (!own.isHeld) return "replaced";
      const receiver = receiverHere(node, own);
      if (receiver === undefined) return publishThroughRedis(node, own, frame, type);
      receiver.writable = receiver.listener.relayed(frame, type);
      return receiver.writable ? "delivered" : "congested";
    },
    start: (seat, discard) => start(node, ownSeat(seat), discard),
    drained(seat) {
      const own = ownSeat(seat);
      if (!own.isHeld) return;
      const here = node.peerHere(own);
      if (here) here.listener.peerDrained();
      else if (own.peer) tellPeer(node, own, "drained", own.peer);
    },
  };
}

/** A frame came for a seat of this node. */
export function receiveFrame(
  node: RedisNode,
  seat: LocalSeat,
  message: SeatMessage & { readonly kind: "frame" },
): void {
  const due = seat.receive(message);
  handOn(seat, due);
  if (seat.hasGap) catchUp(node, seat, message.number);
  if (due.length > 0 && !seat.writable) {
    tellPeer(node, seat, "congested", { token: message.fromToken, node: message.fromNode });
  }
}

/** Relay to the seat has begun; frames up to `after` are not its own. */
export function beginRelay(seat: LocalSeat, after: number): void {
  handOn(seat, seat.begin(after));
}

/** Fetches what was sent to the seat and has not come, when the last frame sent is `last`. */
export function catchUp(node: RedisNode, seat: LocalSeat, last: number): void {
  if (seat.next === undefined || (last < seat.next && !seat.hasGap)) return;
  void pull(node, seat);
}

/** The receiver of frames that need no Redis. */
function receiverHere(node: RedisNode, seat: LocalSeat): LocalSeat | undefined {
  const peer = node.peerHere(seat);
  if (peer?.next === undefined || peer.isReplaced || seat.sending > 0) return undefined;
  return peer.next > seat.lastSent && !peer.hasGap ? peer : undefined;
}

async function publishThroughRedis(
  node: RedisNode,
  seat: LocalSeat,
  frame: string,
  type: RelayType,
): Promise<RelayOutcome> {
  seat.sending++;
  try {
    const args = [type, frame, ...holdBounds(node)];
    const reply = await node.runAsOwnerOrDrop(seat, roomScripts.publish, args);
    switch (reply[0]) {
      case "delivered":
        seat.lastSent = Math.max(seat.lastSent, numberAt(reply, 1));
        return (await isPeerWritable(node, seat, seat.lastSent)) ? "delivered" : "congested";
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

/** Of a receiver on this node; one on another node says `congested` if it is not. */
async function isPeerWritable(node: RedisNode, seat: LocalSeat, number: number): Promise<boolean> {
  const peer = node.peerHere(seat);
  if (peer === undefined || peer.isReplaced) return true;
  if (peer.next === undefined) await start(node, peer, false);
  else if (peer.next <= number) await pull(node, peer);
  return peer.writable;
}

async function start(node: RedisNode, seat: LocalSeat, discard: boolean): Promise<void> {
  const args = [discard ? 1 : 0, ...holdBounds(node)];
  // Without an answer the seat was given up, and its listener has heard that.
  const reply = await node.runAsOwnerOrDrop(seat, roomScripts.start, args).catch(() => undefined);
  if (reply?.[0] !== "begun") return;
  handOn(seat, seat.begin(numberAt(reply, 1)));
  for (const frame of framesFrom(reply)) handOn(seat, seat.receive(frame));
  if (seat.hasGap) catchUp(node, seat, 0);
}

/** Fetches the ring. Where that fails, the next renewal of the lease sees what is missing. */
function pull(node: RedisNode, seat: LocalSeat): Promise<void> {
  seat.pulling ??= fetchRing(node, seat)
    .catch(() => {})
    .finally(() => {
      seat.pulling = undefined;
    });
  return seat.pulling;
}

async function fetchRing(node: RedisNode, seat: LocalSeat): Promise<void> {
  const reply = await node.runAsOwner(seat, roomScripts.pull);
  if (reply[0] !== "frames") return;
  const { due, lost } = seat.catchUp(framesFrom(reply));
  if (lost > 0) node.options.dropped("hold_expired", lost);
  handOn(seat, due);
}

function handOn(seat: LocalSeat, frames: readonly Numbered[]): void {
  for (const { frame, type } of frames) {
    if (seat.isHeld) seat.writable = seat.listener.relayed(frame, type);
  }
}

function tellPeer(
  node: RedisNode,
  { appId, side }: LocalSeat,
  kind: "congested" | "drained",
  peer: { readonly token: number; readonly node: string },
): void {
  const text = seatMessageText(kind, { appId, side: otherSide(side), token: peer.token });
  void node.tell(peer.node, text);
}

function holdBounds({ options: { limits } }: RedisNode): readonly number[] {
  return [limits.holdMaxFrames, limits.holdMaxBytes];
}

/** What stands behind the first two words of a reply. */
function framesFrom(reply: Reply): readonly Numbered[] {
  return reply.slice(2).map((_, i) => parseRingEntry(textAt(reply, i + 2)));
}
