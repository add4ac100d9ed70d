import type { Account } from "../../base/account.ts";
import type { Side } from "../../base/ids.ts";
import type { NoSpace } from "../engine.ts";
import { isPastShare } from "./counting.ts";
import { discardMail, mailsIn, passIds } from "./mail.ts";
import { clearHold, holdIsOver } from "./relay.ts";
import {
  nobody,
  type Occupant,
  otherSide,
  type Place,
  type Room,
  type SeatEvent,
  sides,
  type Turn,
} from "./turn.ts";

// How long a room exists, and who is seated in it.

/** At most this many bare rooms are forgotten to make space for a new one. */
const giveWayAtOnce = 64;

/** Creates a room. A seat in it has to be taken in the same turn. */
export function newRoom(turn: Turn, accounts: readonly Account[]): Room {
  const code = turn.code();
  const room: Room = {
    appId: turn.appId,
    startedAt: turn.now,
    tokens: 0,
    paired: false,
    established: false,
    minted: code !== undefined,
    redeemed: code !== undefined && code.state === "used",
    owner: code === undefined ? accounts : nobody,
    emptyAt: undefined,
    A: newPlace(),
    B: newPlace(),
  };
  turn.room = room;
  turn.count("rooms", 1);
  turn.charge("rooms", room.owner, 1);
  const crowding = turn.counted("rooms") - roomBound(turn, room.minted);
  if (crowding > 0) turn.makeSpace(Math.min(crowding, giveWayAtOnce));
  return room;
}

function newPlace(): Place {
  return {
    seat: undefined,
    started: false,
    vouched: undefined,
    lastToken: 0,
    sid: "",
    accounts: nobody,
    leftAt: undefined,
    parked: undefined,
    guard: undefined,
    hold: undefined,
    box: undefined,
    ids: undefined,
  };
}

/** Whether the room exists or there is space for it. Bare rooms do not count: they make space. */
export function admission(
  turn: Turn,
  accounts: readonly Account[],
): "admitted" | NoSpace["outcome"] {
  if (turn.room !== undefined) return "admitted";
  const minted = turn.code() !== undefined;
  const max = roomBound(turn, minted);
  if (turn.counted("rooms") - turn.counted("bareRooms") >= max) return "full";
  return !minted && isPastShare(turn, "rooms", 1, accounts, max) ? "share_full" : "admitted";
}

/** Rooms that were minted here may use all of `maxRooms`, others half of it. */
function roomBound({ limits }: Turn, minted: boolean): number {
  return minted ? limits.maxRooms : Math.floor(limits.maxRooms / 2);
}

function mailWaits({ A, B }: Room): boolean {
  return mailsIn(A) > 0 || mailsIn(B) > 0;
}

/** Whether the room is empty and no mail is stored in it. */
export function isBare(room: Room): boolean {
  return room.emptyAt !== undefined && !mailWaits(room);
}

/** When an empty room is forgotten. Depends only on the room, its code and the limits. */
function overAt(turn: Turn, room: Room, emptyAt: number): number {
  const { relayHoldMs, roomTtlMs } = turn.limits;
  if (room.redeemed || mailWaits(room)) return emptyAt + roomTtlMs;
  const codeEnds = room.minted ? (turn.code()?.expiresAt ?? 0) : 0;
  return Math.max(emptyAt + relayHoldMs, Math.min(codeEnds, emptyAt + roomTtlMs));
}

/** When the room or one of its holds expires next; undefined: never. Depends on the same as `overAt`. */
export function lookAt(turn: Turn, room: Room): number | undefined {
  let at = room.emptyAt === undefined ? undefined : overAt(turn, room, room.emptyAt);
  for (const side of sides) {
    const { hold, leftAt } = room[side];
    if (hold === undefined || leftAt === undefined) continue;
    const over = leftAt + turn.limits.relayHoldMs;
    at = at === undefined ? over : Math.min(at, over);
  }
  return at;
}

/** Applies what has expired since the room's last turn. Runs before every verb. */
export function settle(turn: Turn): void {
  const { room } = turn;
  if (room === undefined) return;
  settleSide(turn, room, "A");
  settleSide(turn, room, "B");
  forgetIfOver(turn, room);
}

function settleSide(turn: Turn, room: Room, side: Side): void {
  const place = room[side];
  if (place.seat !== undefined && !turn.isAlive(place.seat.node)) vacate(turn, room, side);
  if (place.hold !== undefined && holdIsOver(place, turn.now, turn.limits.relayHoldMs)) {
    clearHold(turn, side, place, "hold_expired");
  }
}

export function forgetIfOver(turn: Turn, room: Room): void {
  if (room.emptyAt !== undefined && overAt(turn, room, room.emptyAt) <= turn.now)
    forget(turn, room);
}

/** Forgets an empty room, with its held frames and mail. */
export function forget(turn: Turn, room: Room): void {
  if (isBare(room)) turn.count("bareRooms", -1);
  for (const side of sides) {
    clearHold(turn, side, room[side], "hold_expired");
    discardMail(turn, side, room[side]);
  }
  turn.count("rooms", -1);
  turn.charge("rooms", room.owner, -1);
  turn.room = undefined;
}

/** The new occupant of a seat. It replaces the present occupant, if any. */
interface Sitter extends Occupant {
  readonly sid: string;
  readonly accounts: readonly Account[];
}

export function sit(turn: Turn, room: Room, side: Side, sitter: Sitter): void {
  const { token, node, sid, accounts } = sitter;
  const place = room[side];
  if (isBare(room)) turn.count("bareRooms", -1);
  if (place.seat === undefined) turn.count("peers", 1);
  passIds(turn, place, accounts);
  place.seat = { token, node };
  place.lastToken = token;
  place.vouched = undefined;
  place.sid = sid;
  place.accounts = accounts;
  place.leftAt = undefined;
  place.parked = place.parked?.waiter && { times: 0, waiter: place.parked.waiter };
  room.emptyAt = undefined;
  room.tokens = Math.max(room.tokens, token);
}

/** Removes the occupant. Notifies the other side and the newcomer that waits for the seat. */
export function vacate(turn: Turn, room: Room, side: Side): void {
  const place = room[side];
  if (place.seat === undefined) return;
  tellOther(turn, room, side, { kind: "left", token: place.seat.token });
  turn.count("peers", -1);
  place.seat = undefined;
  place.started = false;
  place.leftAt = turn.now;
  if (room[otherSide(side)].seat === undefined) {
    room.emptyAt = turn.now;
    if (isBare(room)) turn.count("bareRooms", 1);
  }
  const waiter = place.parked?.waiter;
  if (waiter !== undefined) turn.tellWaiter(waiter, "vacant");
}

export function tellOther(turn: Turn, room: Room, side: Side, event: SeatEvent): void {
  const other = otherSide(side);
  const { seat } = room[other];
  if (seat !== undefined) turn.tell(other, seat, event);
}
