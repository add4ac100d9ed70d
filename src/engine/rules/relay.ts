import type { Account } from "../../base/account.ts";
import type { Side } from "../../base/ids.ts";
import type { NoSpace, RelayOutcome } from "../engine.ts";
import { againstBytes, costOf } from "./counting.ts";
import { byteLength } from "./text.ts";
import {
  type Frame,
  type Held,
  otherSide,
  type Place,
  placeOf,
  type SeatRef,
  type Turn,
} from "./turn.ts";

/** Relays frames to the other side, each as if it came alone. Returns the outcome of each. */
export function publish(
  turn: Turn,
  seat: SeatRef,
  frames: readonly Frame[],
): readonly RelayOutcome[] {
  const mine = placeOf(turn, seat);
  return frames.map((frame) =>
    mine === undefined ? "replaced" : publishOne(turn, seat, mine.accounts, frame),
  );
}

function publishOne(
  turn: Turn,
  { side, token }: SeatRef,
  accounts: readonly Account[],
  frame: Frame,
): RelayOutcome {
  const { room, now, limits } = turn;
  const other = otherSide(side);
  const place = room?.[other];
  if (place === undefined) return "no_peer";
  const { seat } = place;
  if (seat === undefined || !place.started) {
    if (seat === undefined && place.leftAt === undefined) return "no_peer";
    if (seat === undefined && holdIsOver(place, now, limits.relayHoldMs)) return "no_peer";
    const { type, text } = frame;
    const held = { type, text, bytes: byteLength(text), from: token, accounts };
    if (type === "offer") clearHold(turn, other, place, "stale", token);
    const bound = hold(turn, other, place, held);
    if (bound === undefined) return "held";
    if (seat === undefined) return bound === "full" ? "hold_full" : "hold_share";
    begin(turn, other, place);
  }
  if (seat !== undefined) {
    turn.tell(other, seat, { kind: "frame", type: frame.type, text: frame.text });
  }
  return "delivered";
}

/** Whether a side left at least `relayHoldMs` ago. False for a side that is seated or was never seated. */
export function holdIsOver({ leftAt }: Place, now: number, relayHoldMs: number): boolean {
  return leftAt !== undefined && now >= leftAt + relayHoldMs;
}

/** Holds a frame for a side. Returns the bound that refuses it; undefined: it is held. */
function hold(turn: Turn, side: Side, place: Place, held: Held): NoSpace["outcome"] | undefined {
  const { holdMaxFrames, holdMaxBytes } = turn.limits;
  const { text, bytes, accounts } = held;
  const { count, bytes: before } = place.hold ?? nothing;
  if (count >= holdMaxFrames || before + bytes > holdMaxBytes) return "full";
  const bound = againstBytes(turn, costOf(text, bytes), accounts);
  if (bound !== undefined) return bound;
  turn.held(side).push(held);
  countHeld(turn, place, held, 1);
  return undefined;
}

const nothing = { count: 0, bytes: 0 };

function countHeld(turn: Turn, place: Place, { text, bytes, accounts }: Held, times: number): void {
  const cost = times * costOf(text, bytes);
  const count = (place.hold?.count ?? 0) + times;
  const sum = (place.hold?.bytes ?? 0) + times * bytes;
  place.hold = count === 0 ? undefined : { count, bytes: sum };
  turn.count("heldFrames", times);
  turn.count("heldBytes", cost);
  turn.charge("bytes", accounts, cost);
}

/** Drops the frames held for a side, except those from the connection with token `butFrom`. */
export function clearHold(
  turn: Turn,
  side: Side,
  place: Place,
  why: "stale" | "hold_expired",
  butFrom = 0,
): void {
  if (place.hold === undefined) return;
  const all = turn.held(side).slice(0, place.hold.count);
  const kept = all.filter(({ from }) => from === butFrom);
  if (kept.length === all.length) return;
  turn.dropped(why, all.length - kept.length);
  for (const held of all) if (held.from !== butFrom) countHeld(turn, place, held, -1);
  turn.held(side).replace(kept);
}

/** Delivers the held frames. From now on frames go straight to the occupant. */
export function begin(turn: Turn, side: Side, place: Place): void {
  const { seat } = place;
  if (seat === undefined) return;
  place.started = true;
  if (place.hold === undefined) return turn.tell(side, seat, { kind: "started" });
  const all = turn.held(side).slice(0, place.hold.count);
  for (const held of all) countHeld(turn, place, held, -1);
  turn.held(side).replace([]);
  turn.tell(side, seat, { kind: "started", held: all.map(({ type, text }) => ({ type, text })) });
}

/** Starts the relay to a seat. Held frames are delivered first, or dropped with `discard`. */
export function start(turn: Turn, seat: SeatRef, discard: boolean): void {
  const place = placeOf(turn, seat);
  if (place === undefined || place.started) return;
  if (discard) clearHold(turn, seat.side, place, "stale");
  begin(turn, seat.side, place);
}
