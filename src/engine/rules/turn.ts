import type { Account } from "../../base/account.ts";
import type { AppId, Side } from "../../base/ids.ts";
import type { EngineLimits, RelayType, Seat } from "../engine.ts";

/**
 * What the rules of a room work on: plain data, and what a store lends them for one turn.
 *
 * The rules run natively in the memory engine and, compiled to Lua, inside Redis. So they and all
 * that they import are synchronous functions over plain data, without regular expressions, classes,
 * zod or Node; texts are measured by text.ts alone, never by `.length`. What does not survive the
 * compiler: `undefined` put over a key by a spread, `${number}`, holes in arrays, 0 and "" taken for
 * false, `undefined` or an empty list in what a verb is given or answers.
 */

/** A seat of the room. Tokens grow with every take; each is used once. */
export type SeatRef = Pick<Seat, "side" | "token">;

/** Who sits in a seat: the token, and the node that has the connection. Both are compared. */
export interface Occupant {
  readonly token: number;
  readonly node: string;
}

/** No accounts. Shared, since each empty list takes 64 bytes. */
export const nobody: readonly Account[] = [];

/** One side of a room, with or without an occupant. */
export interface Place {
  seat?: Occupant | undefined;
  /** Frames go straight to the occupant; before that they are held. */
  started: boolean;
  /** The occupant is known by its peer's word only: the store had forgotten it. */
  vouched?: true | undefined;
  /** The token of the last occupant, present or not; 0 before the first. */
  lastToken: number;
  /** The last occupant's. What is remembered of its ids counts to these accounts. */
  sid: string;
  accounts: readonly Account[];
  /** When it was given up, ms; undefined while taken or never seen. */
  leftAt?: number | undefined;
  parked?: Parked | undefined;
  guard?: TakeoverGuard | undefined;
  /** What is held for this side (see `Turn.held`); undefined for nothing. */
  hold?: Amount | undefined;
  box?: Box | undefined;
  /** Ids of mail that this side has sent (see `Turn.ids`); undefined for none. */
  ids?: Amount | undefined;
}

/** How many there are, and their bytes: of frames in UTF-8, of ids as counted. */
interface Amount {
  count: number;
  bytes: number;
}

export interface Parked {
  /** Newcomers that have waited for this occupant. */
  times: number;
  /** Who waits now. */
  waiter?: WaiterRef | undefined;
}

/** A mailbox: seqs `before` + 1 … `last` are stored (see `Turn.mail`). */
export interface Box {
  before: number;
  last: number;
  /** The highest seq that some connection can have processed. */
  sent: number;
  /** Of payloads, in UTF-8. */
  bytes: number;
  /** The stamp of the newest mail ever stored. */
  stamp: number;
  /** A strict sender met a full box: refuse it until the box is half empty. */
  refusing: boolean;
}

interface TakeoverGuard {
  until: number;
  spanMs: number;
  contested: boolean;
}

/** A newcomer that waits for a seat: its node, and its name there. */
export interface WaiterRef {
  readonly node: string;
  readonly name: string;
}

export interface Room {
  readonly appId: AppId;
  startedAt: number;
  /** When the last side left, ms; undefined while somebody is seated. */
  emptyAt?: number | undefined;
  /** The highest token given out. */
  tokens: number;
  paired: boolean;
  established: boolean;
  /** Its code was minted here … */
  readonly minted: boolean;
  /** … and has been redeemed. */
  redeemed: boolean;
  /** The accounts that the room counts to; none if it was minted here. */
  readonly owner: readonly Account[];
  readonly A: Place;
  readonly B: Place;
}

export const sides = ["A", "B"] as const;

export function otherSide(side: Side): Side {
  return side === "A" ? "B" : "A";
}

/** The seat's place, if the seat is its occupant's still. */
export function placeOf({ room, node }: Turn, { side, token }: SeatRef): Place | undefined {
  const place = room?.[side];
  return place?.seat?.token === token && place.seat.node === node ? place : undefined;
}

// ---- what is kept beside a room, because it may be megabytes ----------------------------------

export interface Stored {
  readonly from: Side;
  readonly payload: string;
  /** Of the payload, in UTF-8. */
  readonly bytes: number;
  /** To whom it counts. */
  readonly accounts: readonly Account[];
  /** Grows from mail to mail of a box and is never used again, whatever becomes of its seqs. */
  readonly stamp: number;
}

export interface Held {
  readonly type: RelayType;
  readonly text: string;
  readonly bytes: number;
  /** The token of the connection it came from, and whom it counts to. */
  readonly from: number;
  readonly accounts: readonly Account[];
}

/** A list of which this very turn's changes are seen. */
export interface List<T> {
  push(item: T): void;
  /** At most `count` items from index `from` on. */
  slice(from: number, count: number): readonly T[];
  /** Drops the first `count`. */
  drop(count: number): void;
  replace(items: readonly T[]): void;
}

/** The ids a side has put on its last mails, each with its seq. */
export interface IdMemory {
  seqOf(id: string): number | undefined;
  put(id: string, seq: number): void;
  /** Forgets the oldest and answers it. */
  dropOldest(): string;
  clear(): void;
}

// ---- a turn ------------------------------------------------------------------------------------

/** What is counted over all rooms, by difference, where it changes. */
export const sums = [
  "rooms",
  "peers",
  "mailboxes",
  "mails",
  "mailBytes",
  "heldFrames",
  "heldBytes",
  "idBytes",
] as const;
/** `bareRooms` stand empty without mail: they give way to new ones. */
export type Sum = (typeof sums)[number] | "bareRooms";

/** What each account has its share of. */
export type Shared = "bytes" | "rooms";

/**
 * One verb's turn at one room. All that it changes and tells takes effect once the verb has returned,
 * together; after one that throws nothing has changed. (In memory a room is changed in place: rules
 * throw, if ever, before their first change.)
 */
export interface Turn {
  /** Undefined: there is no such room. Set by the rules. */
  room: Room | undefined;
  readonly appId: AppId;
  /** ms since the epoch. */
  readonly now: number;
  /** The node that asks. */
  readonly node: string;
  /**
   * Above all tokens and stamps that the asking node has seen: µs by its clock and the store's, whichever is
   * ahead. In memory, which never goes back in time, the next of a count.
   */
  readonly fresh: number;
  readonly limits: EngineLimits;
  /** The code that minted the room; undefined for one that is not remembered. */
  code(): RoomCode | undefined;
  /** The node's lease runs. True of the node that asks. */
  isAlive(node: string): boolean;

  /** Both answer what this very turn has changed, too. */
  counted(sum: Sum): number;
  charged(what: Shared, account: Account): number;
  count(sum: Sum, amount: number): void;
  charge(what: Shared, accounts: readonly Account[], amount: number): void;

  mail(side: Side): List<Stored>;
  held(side: Side): List<Held>;
  ids(side: Side): IdMemory;

  /** So many bare rooms, the oldest first, give way once this turn is over. */
  makeSpace(rooms: number): void;
  tell(side: Side, to: Occupant, event: SeatEvent): void;
  tellWaiter(waiter: WaiterRef, event: WaiterEvent): void;
  /** So much was accepted and is given up now. */
  dropped(reason: "stale" | "hold_expired" | "room_forgotten", count: number): void;
}

export interface RoomCode {
  readonly state: "live" | "used" | "expired";
  /** When it expires unless it is used before, ms. */
  readonly expiresAt: number;
}

/** A relayed frame. */
export interface Frame {
  readonly type: RelayType;
  readonly text: string;
}

/** An event for the connection in a seat. */
export type SeatEvent =
  | { readonly kind: "joined"; readonly peer: Occupant }
  | { readonly kind: "left"; readonly token: number }
  /** Frames go straight to the seat now, after what was held for it. */
  | { readonly kind: "started"; readonly held?: readonly Frame[] }
  | ({ readonly kind: "frame" } & Frame)
  | { readonly kind: "replaced"; readonly why: "same_sid" | "dead" }
  /** `check`: the room was gone, or older than it had been. The seat's node should ask about its seat. */
  | { readonly kind: "mail" | "congested" | "drained" | "check" }
  /** Is the seat's connection alive? The answer goes to that node. */
  | { readonly kind: "probe"; readonly question: string; readonly node: string };

export type WaiterEvent = "vacant" | "displaced";

/** A message to a node, from a turn or from another node. */
export type Message =
  | ({ readonly to: "seat"; readonly event: SeatEvent } & Seat)
  | { readonly to: "waiter"; readonly name: string; readonly event: WaiterEvent }
  /** `asking`: the occupant is being asked, which takes its time. */
  | { readonly to: "asker"; readonly question: string; readonly answer: ProbeAnswer };

export type ProbeAnswer = "asking" | "alive" | "dead" | "gone";

/**
 * The holder of a seat, and what its node knows. It is sent with everything the holder asks of a store that
 * may be older than it was, so that the store catches up first.
 */
export interface Holder extends SeatRef {
  readonly isStarted: boolean;
  readonly peer?: Occupant | undefined;
  /** Undefined where the store never goes back in time. */
  readonly known?: Known | undefined;
}

/** Numbers are 0 of what the connection has not done yet. */
export interface Known {
  readonly sid: string;
  readonly accounts: readonly Account[];
  /** The room's code was redeemed before it sat down. */
  readonly redeemed: boolean;
  /** What it has read goes up to this seq, by the present numbers, and this stamp. */
  readSeq: number;
  readStamp: number;
  /** Its mailbox's `sent` was this at least. */
  sentSeq: number;
  /** The highest seq it has acknowledged, at most `readSeq`. */
  acked: number;
  /** The highest seq that it was answered for each mailbox it has sent to. */
  storedA: number;
  storedB: number;
}

/**
 * What a mail, a held frame or a remembered id counts beyond its own bytes. Measured: in memory
 * 155 bytes for a mail, 200 for a held frame, 460 for the first id of a side, 200 for a further one,
 * 260 more where each comes from another client; in Redis 900 where it is the only one of its room,
 * 20 to 200 in a row of them. So what is counted is at least half of what is spent.
 */
export const entryCostBytes = 512;
/** Ids of mail remembered a side. */
export const rememberedIds = 256;
/** A seat taken over by sid is guarded against the next such takeover this long at first, … */
export const takeoverGuardMs = 10_000;
/** … and at most this long when it is contested again and again. */
export const takeoverGuardMaxMs = 600_000;
/** The highest seq that is accepted from a client: sums with it stay exact. */
export const maxSeq = 2 ** 53 - 2 ** 32;
