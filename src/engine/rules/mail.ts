import type { Side } from "../../base/ids.ts";
import type { Appended, Mail, NewMail } from "../engine.ts";
import { againstBytes, costOf } from "./counting.ts";
import { byteLength } from "./text.ts";
import {
  type Box,
  type Holder,
  type Known,
  maxSeq,
  type Place,
  placeOf,
  rememberedIds,
  type SeatRef,
  type Stored,
  type Turn,
} from "./turn.ts";

/** How many mails are read from the list at a time. */
const atOnce = 64;

const mailEvent = { kind: "mail" } as const;

/** How many mails are stored for a side. */
export function mailsIn({ box }: Place): number {
  return box === undefined ? 0 : box.last - box.before;
}

function boxOf(turn: Turn, place: Place): Box {
  if (place.box === undefined) {
    place.box = { before: 0, last: 0, sent: 0, bytes: 0, stamp: 0, refusing: false };
    turn.count("mailboxes", 1);
  }
  return place.box;
}

/** `isElsewhere`: the sender used this id before, for mail in the other mailbox. */
type AppendAnswer = Appended & { readonly isElsewhere?: true };

export function append(turn: Turn, seat: SeatRef, to: Side, mail: NewMail): AppendAnswer {
  const { payload, id, strict } = mail;
  const mine = placeOf(turn, seat);
  const place = turn.room?.[to];
  if (mine === undefined || place === undefined) return { outcome: "replaced" };
  const known =
    id === undefined || mine.ids === undefined ? undefined : turn.ids(seat.side).seqOf(id);
  if (known !== undefined) {
    if (known <= (place.box?.last ?? 0)) return { outcome: "stored", seq: known };
    return { outcome: "stored", seq: known, isElsewhere: true };
  }
  const bytes = byteLength(payload);
  const idCost = id === undefined ? 0 : costOf(id);
  const box = boxOf(turn, place);
  const bound = againstMail(turn, box, bytes, costOf(payload, bytes) + idCost, mine, strict);
  if (bound !== undefined) return { outcome: bound };
  const stamp = Math.max(box.stamp + 1, turn.fresh);
  const seq = store(turn, to, box, {
    from: seat.side,
    payload,
    bytes,
    accounts: mine.accounts,
    stamp,
  });
  if (id !== undefined) remember(turn, seat.side, mine, id, seq);
  if (place.seat !== undefined) turn.tell(to, place.seat, mailEvent);
  return { outcome: "stored", seq };
}

/**
 * The bound that refuses a mail; undefined: it is accepted. After one refusal of a strict sender, all its
 * mail is refused until the box is half empty.
 */
function againstMail(
  turn: Turn,
  box: Box,
  bytes: number,
  cost: number,
  { accounts }: Place,
  strict: boolean,
): "full" | "share_full" | undefined {
  const { mailboxMaxMails, mailboxMaxBytes } = turn.limits;
  const mails = box.last - box.before;
  const isHalfEmpty = mails <= mailboxMaxMails / 2 && box.bytes <= mailboxMaxBytes / 2;
  if (box.refusing && isHalfEmpty) box.refusing = false;
  if (box.refusing && strict) return "full";
  const isFull = mails >= mailboxMaxMails || box.bytes + bytes > mailboxMaxBytes;
  const bound = isFull ? "full" : againstBytes(turn, cost, accounts);
  if (bound !== undefined && strict) box.refusing = true;
  return bound;
}

export function store(turn: Turn, to: Side, box: Box, mail: Stored): number {
  turn.mail(to).push(mail);
  countMail(turn, box, mail, 1);
  box.stamp = mail.stamp;
  box.last++;
  return box.last;
}

function countMail(turn: Turn, box: Box, mail: Stored, times: number): void {
  const cost = times * costOf(mail.payload, mail.bytes);
  box.bytes += times * mail.bytes;
  turn.count("mails", times);
  turn.count("mailBytes", cost);
  turn.charge("bytes", mail.accounts, cost);
}

export function remember(turn: Turn, side: Side, place: Place, id: string, seq: number): void {
  const ids = turn.ids(side);
  ids.put(id, seq);
  countIds(turn, place, 1, costOf(id));
  if ((place.ids?.count ?? 0) > rememberedIds) countIds(turn, place, -1, -costOf(ids.dropOldest()));
}

function countIds(turn: Turn, place: Place, ids: number, cost: number): void {
  const count = (place.ids?.count ?? 0) + ids;
  const bytes = (place.ids?.bytes ?? 0) + cost;
  place.ids = count === 0 ? undefined : { count, bytes };
  turn.count("idBytes", cost);
  turn.charge("bytes", place.accounts, cost);
}

interface ReadMail {
  readonly mails: readonly Mail[];
  /** The stamp of the last of `mails`. */
  readonly stamp: number;
}

/**
 * The mail after a seq, oldest first; undefined if none is stored. After the store has gone back in time,
 * mail may have a higher seq than when this connection read it. Stamps show what it has already read.
 */
export function read(
  turn: Turn,
  seat: Holder,
  after: number,
  maxBytes: number,
): ReadMail | undefined {
  const box = placeOf(turn, seat)?.box;
  if (box === undefined) return undefined;
  const { known } = seat;
  const readStamp = known !== undefined && after >= known.readSeq ? known.readStamp : 0;
  const mails: Mail[] = [];
  let bytes = 0;
  let stamp = 0;
  let seq = Math.max(after, box.before);
  while (seq < box.last) {
    const some = turn.mail(seat.side).slice(seq - box.before, atOnce);
    if (some.length === 0) break;
    for (const mail of some) {
      seq++;
      if (mail.stamp <= readStamp) continue;
      bytes += mail.bytes;
      if (bytes > maxBytes && stamp > 0) return { mails, stamp };
      mails.push({ seq, from: mail.from, payload: mail.payload });
      stamp = mail.stamp;
      box.sent = Math.max(box.sent, seq);
    }
  }
  return stamp === 0 ? undefined : { mails, stamp };
}

export function ack(turn: Turn, seat: SeatRef, upTo: number): void {
  const box = placeOf(turn, seat)?.box;
  if (box !== undefined) acknowledge(turn, seat.side, box, upTo);
}

function acknowledge(turn: Turn, side: Side, box: Box, upTo: number): void {
  const count = Math.min(upTo, box.last) - box.before;
  if (!(count > 0)) return;
  giveBack(turn, side, box, count);
  turn.mail(side).drop(count);
  box.before += count;
  box.sent = Math.max(box.sent, box.before);
}

/** Stops counting the first `count` mails. */
function giveBack(turn: Turn, side: Side, box: Box, count: number): void {
  for (let from = 0; from < count; from += atOnce) {
    const some = turn.mail(side).slice(from, Math.min(atOnce, count - from));
    for (const mail of some) countMail(turn, box, mail, -1);
  }
}

/** A watermark above every seq sent is from a room since forgotten: stored mail is renumbered above it. */
export function hello(
  turn: Turn,
  seat: SeatRef,
  upTo: number,
): { readonly moved: number; readonly before: number } {
  const place = placeOf(turn, seat);
  if (place === undefined) return { moved: 0, before: 0 };
  if (upTo <= 0 || upTo > maxSeq) return { moved: 0, before: place.box?.before ?? 0 };
  const box = boxOf(turn, place);
  if (upTo <= box.sent) {
    acknowledge(turn, seat.side, box, upTo);
    return { moved: 0, before: box.before };
  }
  const moved = upTo - box.before;
  move(box, moved);
  box.sent = upTo;
  return { moved, before: upTo };
}

function move(box: Box, by: number): void {
  box.before += by;
  box.last += by;
  box.sent += by;
}

/**
 * Brings mailboxes of a store that has gone back in time up to what a holder knows: no seq that a client
 * knows is assigned to other mail. Seqs only grow. So a client that acknowledges an old seq acknowledges
 * too little, never too much.
 */
export function catchUp(turn: Turn, place: Place, side: Side, known: Known): void {
  const { readSeq, readStamp, sentSeq, acked, storedA, storedB } = known;
  goOnFrom(turn, turn.room?.A, storedA);
  goOnFrom(turn, turn.room?.B, storedB);
  if (sentSeq > (place.box?.sent ?? 0)) {
    const box = boxOf(turn, place);
    move(box, Math.max(0, readSeq - box.before - countRead(turn, side, box, readStamp)));
    box.sent = Math.max(box.sent, sentSeq);
    box.stamp = Math.max(box.stamp, readStamp);
  }
  if (place.box !== undefined && acked > place.box.before) {
    acknowledge(turn, side, place.box, acked);
  }
}

/** Moves the seqs so that the next mail gets one above `stored`, which was already assigned. */
function goOnFrom(turn: Turn, place: Place | undefined, stored: number): void {
  if (place === undefined || stored <= (place.box?.last ?? 0)) return;
  const box = boxOf(turn, place);
  move(box, stored - box.last);
}

/** How many of the stored mails were read. `readStamp`: the stamp of the last mail that was read. */
function countRead(turn: Turn, side: Side, box: Box, readStamp: number): number {
  const count = box.last - box.before;
  for (let from = 0; from < count; from += atOnce) {
    const some = turn.mail(side).slice(from, atOnce);
    const unread = some.findIndex(({ stamp }) => stamp > readStamp);
    if (unread >= 0) return from + unread;
  }
  return count;
}

/** A side's remembered ids count towards its next occupant from now on. */
export function passIds(turn: Turn, { accounts, ids }: Place, to: Place["accounts"]): void {
  if (ids === undefined) return;
  turn.charge("bytes", accounts, -ids.bytes);
  turn.charge("bytes", to, ids.bytes);
}

/** Forgets a side's mail and remembered ids. */
export function discardMail(turn: Turn, side: Side, place: Place): void {
  const { box } = place;
  if (place.ids !== undefined) {
    countIds(turn, place, -place.ids.count, -place.ids.bytes);
    turn.ids(side).clear();
  }
  if (box === undefined) return;
  turn.count("mailboxes", -1);
  const mails = mailsIn(place);
  if (mails === 0) return;
  turn.dropped("room_forgotten", mails);
  giveBack(turn, side, box, mails);
  turn.mail(side).drop(mails);
}
