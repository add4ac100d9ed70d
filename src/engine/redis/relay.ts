import { otherSide } from "../../base/ids.ts";
import type { MaybePromise } from "../../base/maybe-promise.ts";
import type { Relay, RelayOutcome, RelayType } from "../engine.ts";
import { type LocalSeat, type OutgoingFrame, ownSeat } from "./local-seats.ts";
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
      if (!receiver.isNew)
        return receiver.listener.relayed(frame, type) ? "delivered" : "congested";
      receiver.whenOpen(() => handOn(node, receiver, [{ type, frame }]));
      return "delivered";
    },
    start: (seat, discard) => start(node, ownSeat(seat), discard),
    drained(seat) {
      const own = ownSeat(seat);
      if (own.isHeld) tellPeer(node, own, "drained");
    },
  };
}

/** A frame came for a seat of this node. */
export function receiveFrame(
  node: RedisNode,
  seat: LocalSeat,
  message: SeatMessage & { readonly kind: "frame" },
): void {
  handOn(node, seat, seat.receive(message));
  if (seat.hasGap) catchUp(node, seat, message.number);
}

/** Relay to the seat has begun; frames up to `after` are not its own. */
export function beginRelay(node: RedisNode, seat: LocalSeat, after: number): void {
  handOn(node, seat, seat.begin(after));
}

/** Fetches what was sent to the seat and has not come, when the last frame sent is `last`. */
export function catchUp(node: RedisNode, seat: LocalSeat, last: number): void {
  if (seat.next === undefined || (last < seat.next && !seat.hasGap)) return;
  void pull(node, seat);
}

/** The receiver of frames that need no Redis. */
function receiverHere(node: RedisNode, seat: LocalSeat): LocalSeat | undefined {
  const peer = node.peerHere(seat);
  if (peer?.next === undefined || peer.isReplaced || seat.outgoing !== undefined) return undefined;
  if (peer.next <= seat.lastSent || peer.hasGap) return undefined;
  if (peer.peer?.token !== seat.token) introduce(node, seat, peer);
  return peer;
}

/** A peer on this node hears of the seat before its first frame, which may be ahead of Redis's message. */
function introduce(node: RedisNode, { token }: LocalSeat, peer: LocalSeat): void {
  const handle = (message: SeatMessage) => node.handle(peer, message);
  if (peer.peer) peer.deliver({ kind: "left", peerToken: peer.peer.token }, handle);
  peer.deliver({ kind: "joined", peerToken: token, peerNode: node.options.node }, handle);
}

/** Publishes a frame with the others of this turn, or with those that wait for a call under way. */
function publishThroughRedis(
  node: RedisNode,
  seat: LocalSeat,
  frame: string,
  type: RelayType,
): Promise<RelayOutcome> {
  return new Promise((resolve, reject) => {
    const outgoing = { type, frame, resolve, reject };
    if (seat.outgoing) return void seat.outgoing.push(outgoing);
    seat.outgoing = [outgoing];
    queueMicrotask(() => void publishOutgoing(node, seat));
  });
}

async function publishOutgoing(node: RedisNode, seat: LocalSeat): Promise<void> {
  for (let frames = seat.outgoing; frames?.length; frames = seat.outgoing) {
    seat.outgoing = [];
    try {
      const outcomes = await publishTogether(node, seat, frames);
      for (const [i, { resolve }] of frames.entries()) resolve(outcomes[i] ?? "replaced");
    } catch (error) {
      for (const { reject } of frames) reject(error);
    }
  }
  seat.outgoing = undefined;
}

/** What became of each frame, in one call. */
async function publishTogether(
  node: RedisNode,
  seat: LocalSeat,
  frames: readonly OutgoingFrame[],
): Promise<readonly RelayOutcome[]> {
  const args = [...holdBounds(node), ...frames.flatMap(({ type, frame }) => [type, frame])];
  const reply = await node.runAsOwnerOrDrop(seat, roomScripts.publish, args);
  if (reply[0] === "full") return frames.map(() => "hold_full");
  if (reply[0] !== "published") return [];
  seat.lastSent = Math.max(seat.lastSent, numberAt(reply, 1));
  const outcomes = frames.map((_, i) => outcomeOf(reply[i + 2]));
  const delivered = frames.filter((_, i) => outcomes[i] === "delivered");
  deliverHere(node, seat, delivered, numberAt(reply, 1));
  return outcomes;
}

function outcomeOf(word: unknown): RelayOutcome {
  return publishOutcomes.find((outcome) => outcome === word) ?? "replaced";
}

const publishOutcomes: readonly RelayOutcome[] = [
  "delivered",
  "held",
  "no_peer",
  "hold_full",
  "hold_share",
];

/**
 * Hands frames, of which the last has the number `last`, to a receiver on this node without waiting
 * for Redis to bring them: those behind them then need no Redis.
 */
function deliverHere(
  node: RedisNode,
  seat: LocalSeat,
  frames: readonly OutgoingFrame[],
  last: number,
): void {
  const peer = node.peerHere(seat);
  if (peer === undefined || peer.token !== seat.peer?.token) return;
  if (peer.peer?.token !== seat.token) introduce(node, seat, peer);
  for (const [i, { type, frame }] of frames.entries()) {
    const number = last - frames.length + 1 + i;
    const message = { kind: "frame", number, type, frame } as const;
    peer.deliver(message, (due) => node.handle(peer, due));
  }
}

async function start(node: RedisNode, seat: LocalSeat, discard: boolean): Promise<void> {
  const args = [discard ? 1 : 0, ...holdBounds(node)];
  // Without an answer the seat was given up, and its listener has heard that.
  const reply = await node.runAsOwnerOrDrop(seat, roomScripts.start, args).catch(() => undefined);
  if (reply?.[0] !== "begun") return;
  handOn(node, seat, seat.begin(numberAt(reply, 1)));
  for (const frame of framesFrom(reply)) handOn(node, seat, seat.receive(frame));
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
  handOn(node, seat, due);
}

function handOn(
  node: RedisNode,
  seat: LocalSeat,
  frames: readonly Omit<Numbered, "number">[],
): void {
  let writable = true;
  for (const { frame, type } of frames) {
    if (seat.isHeld) writable = seat.listener.relayed(frame, type);
  }
  if (!writable) tellPeer(node, seat, "congested");
}

/** Says to the other side whether it should go on sending to this one. */
function tellPeer(node: RedisNode, seat: LocalSeat, kind: "congested" | "drained"): void {
  const { appId, side, peer } = seat;
  const here = node.peerHere(seat);
  if (here) return here.deliver({ kind }, (message) => node.handle(here, message));
  if (peer === undefined) return;
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
