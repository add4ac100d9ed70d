import type { Side } from "../../base/ids.ts";
import type { Busy, Claimable, IceGrant, Newcomer, NoSpace, Taken } from "../engine.ts";
import { catchUp, mailsIn } from "./mail.ts";
import { begin, clearHold } from "./relay.ts";
import { admission, forgetIfOver, newRoom, sit, tellOther, vacate } from "./room.ts";
import {
  type Holder,
  type Known,
  type Occupant,
  otherSide,
  type Place,
  placeOf,
  type Room,
  type SeatRef,
  type Turn,
  takeoverGuardMaxMs,
  takeoverGuardMs,
  type WaiterRef,
} from "./turn.ts";

type Taker = Pick<Newcomer, "side" | "sid" | "accounts">;

interface SeatTaken extends Omit<Taken, "seat" | "peer"> {
  readonly token: number;
  readonly peer?: Occupant | undefined;
  readonly redeemed: boolean;
}

/** Takes a seat. Creates the room if it does not exist and there is space. */
export function take(turn: Turn, taker: Taker, how: Claimable): SeatTaken | Busy | NoSpace {
  const { side, sid, accounts } = taker;
  const space = admission(turn, accounts);
  if (space !== "admitted") return { outcome: space };
  const room = turn.room ?? newRoom(turn, accounts);
  const place = room[side];
  if (place.seat !== undefined) {
    const why = takeover(turn, place, place.seat, sid, how);
    if (why === undefined) return { outcome: "busy", token: place.seat.token };
    turn.tell(side, place.seat, { kind: "replaced", why });
  }
  if (place.sid !== sid) clearHold(turn, side, place, "stale");
  const token = Math.max(room.tokens + 1, turn.fresh);
  sit(turn, room, side, { token, node: turn.node, sid, accounts });
  place.started = place.hold === undefined;
  const peer = room[otherSide(side)].seat;
  const firstPair = peer !== undefined && !room.paired;
  if (firstPair) room.paired = true;
  tellOther(turn, room, side, { kind: "joined", peer: place.seat as Occupant });
  return {
    outcome: "taken",
    token,
    peer,
    firstPair,
    held: place.hold?.count ?? 0,
    lastSeq: place.box?.last ?? 0,
    mailWaits: mailsIn(place) > 0,
    redeemed: room.redeemed,
  };
}

/**
 * Why the newcomer may replace the occupant; undefined: it may not. Two live holders of one sid must not
 * evict each other forever:
 *
 *     open    --takeover-->            guarded for `spanMs`
 *     guarded --takeover refused-->    guarded, contested
 *     guarded --span over-->           open
 *
 * `spanMs` starts at 10 s. A takeover after a contested guard doubles it, up to 10 min. A takeover after
 * an uncontested guard sets it back to 10 s.
 */
function takeover(
  { now }: Turn,
  place: Place,
  occupant: Occupant,
  sid: string,
  how: Claimable,
): "same_sid" | "dead" | undefined {
  if (how === "free") return undefined;
  if (how !== "same_sid") return how.dead === occupant.token ? "dead" : undefined;
  if (sid === "" || sid !== place.sid) return undefined;
  const { guard } = place;
  if (guard !== undefined && now < guard.until) {
    guard.contested = true;
    return undefined;
  }
  const isContested = guard?.contested;
  const spanMs = isContested ? Math.min(guard.spanMs * 2, takeoverGuardMaxMs) : takeoverGuardMs;
  place.guard = { until: now + spanMs, spanMs, contested: false };
  return "same_sid";
}

/** Does nothing and returns false when the token does not hold the seat. The only verb without `reclaim`. */
export function leave(turn: Turn, seat: Holder): boolean {
  const { room } = turn;
  const place = placeOf(turn, seat);
  if (room === undefined || place === undefined) return false;
  if (seat.known !== undefined) catchUp(turn, place, seat.side, seat.known);
  vacate(turn, room, seat.side);
  forgetIfOver(turn, room);
  return true;
}

/** Returns how many newcomers have waited for this occupant; 0 when the seat is free. */
export function park(turn: Turn, side: Side, waiter: WaiterRef): number {
  const place = turn.room?.[side];
  if (place?.seat === undefined) return 0;
  const { times, waiter: earlier } = place.parked ?? { times: 0 };
  if (earlier !== undefined) turn.tellWaiter(earlier, "displaced");
  place.parked = { times: times + 1, waiter };
  return times + 1;
}

export function unpark({ room }: Turn, side: Side, waiter: WaiterRef): void {
  const parked = room?.[side].parked;
  if (parked?.waiter?.name === waiter.name && parked.waiter.node === waiter.node) {
    parked.waiter = undefined;
  }
}

/** Asks the occupant with this token whether it is alive. Its answer goes to the asking node. */
export function probe(turn: Turn, seat: SeatRef, question: string): "asked" | "gone" {
  const occupant = turn.room?.[seat.side].seat;
  if (occupant?.token !== seat.token) return "gone";
  turn.tell(seat.side, occupant, { kind: "probe", question, node: turn.node });
  return "asked";
}

/** The first call returns the room's age in ms, later calls return undefined. */
export function establish(turn: Turn, seat: SeatRef): number | undefined {
  const { room } = turn;
  if (room === undefined || placeOf(turn, seat) === undefined) return undefined;
  if (room.established) return undefined;
  room.established = true;
  return turn.now - room.startedAt;
}

export function allowsIce({ room }: Turn, side: Side, mustBeRedeemed: boolean): IceGrant {
  if (room?.[side].seat === undefined) return "no_seat";
  return mustBeRedeemed && !room.redeemed ? "not_redeemed" : "granted";
}

/**
 * Runs before every request of a seat's holder. The store may have lost the room or the seat, or may
 * have an older state of them. Then the holder is seated again, and mailboxes go on from what it knows.
 * If two connections hold one seat, the newer one stays and the other is replaced.
 */
export function reclaim(turn: Turn, holder: Holder, known: Known): void {
  const { side, token } = holder;
  const me = { token, node: turn.node };
  const before = turn.room?.[side];
  if (before !== undefined && isTakenFrom(before, me)) {
    return turn.tell(side, me, { kind: "replaced", why: whyReplaced(known.sid, before.sid) });
  }
  const isSeated = placeOf(turn, holder) !== undefined;
  if (!isSeated) sitAgain(turn, holder, known);
  const { room } = turn;
  if (room === undefined) return;
  if (known.redeemed) room.redeemed = true;
  const place = room[side];
  if (place.vouched === true) {
    sit(turn, room, side, { ...me, sid: known.sid, accounts: known.accounts });
  } else if (isSeated && holder.isStarted && !place.started) {
    // The store forgot that the relay had started. The held frames were already delivered.
    clearHold(turn, side, place, "stale");
  }
  if (holder.isStarted && !place.started) begin(turn, side, place);
  catchUp(turn, place, side, known);
}

/** Whether a newer connection has the seat, or had it and left. */
function isTakenFrom({ seat, lastToken }: Place, { token, node }: Occupant): boolean {
  return lastToken > token || (seat?.token === token && seat.node > node);
}

/** `same_sid` if the same client took the seat. `dead` if another did: the old client may reconnect. */
export function whyReplaced(sid: string, other: string): "same_sid" | "dead" {
  return sid !== "" && sid === other ? "same_sid" : "dead";
}

function sitAgain(turn: Turn, holder: Holder, { sid, accounts }: Known): void {
  const { side, token } = holder;
  const room = turn.room ?? newRoom(turn, accounts);
  const place = room[side];
  const me = { token, node: turn.node };
  // These frames were held for an earlier occupant. They were delivered or dropped, but the store forgot that.
  if (place.lastToken < token) clearHold(turn, side, place, "stale");
  if (place.seat !== undefined) {
    turn.tell(side, place.seat, { kind: "replaced", why: whyReplaced(sid, place.sid) });
  }
  sit(turn, room, side, { ...me, sid, accounts });
  place.started = false;
  tellOther(turn, room, side, { kind: "joined", peer: me });
  vouch(turn, room, otherSide(side), holder.peer);
  const peer = room[otherSide(side)].seat;
  if (peer !== undefined) {
    room.paired = true;
    turn.tell(side, me, { kind: "joined", peer });
  }
}

/** Seats a peer that the store does not know yet. `check` makes the peer's own node confirm the seat. */
function vouch(turn: Turn, room: Room, side: Side, peer: Occupant | undefined): void {
  const place = room[side];
  if (peer === undefined || place.lastToken >= peer.token || place.seat !== undefined) return;
  turn.tell(side, peer, { kind: "check" });
  if (!turn.isAlive(peer.node)) return;
  clearHold(turn, side, place, "stale");
  sit(turn, room, side, { ...peer, sid: place.sid, accounts: place.accounts });
  place.started = false;
  place.vouched = true;
}

/** The state of the room for the holder of a seat, after `reclaim`. */
interface Checked {
  readonly started: boolean;
  readonly peer?: Occupant | undefined;
  readonly lastSeq: number;
}

export function check(turn: Turn, { side }: Holder, framesLost: boolean): Checked {
  const { room } = turn;
  const place = room?.[side];
  if (framesLost && room !== undefined) tellOther(turn, room, side, { kind: "again" });
  return {
    started: place?.started ?? false,
    peer: room?.[otherSide(side)].seat,
    lastSeq: place?.box?.last ?? 0,
  };
}
