import type { Account } from "../../base/account.ts";
import type { AppId, Side } from "../../base/ids.ts";
import type { EngineLimits, RelayType, Seat } from "../engine.ts";

/**
 * The data of a room, and the `Turn` through which the rules use a store.
 *
 * The rules run as they are in the memory engine and, compiled to Lua, inside Redis. So the rules and
 * their imports are synchronous functions over plain data, without regular expressions, classes, zod
 * or Node. Strings are measured by text.ts, never by `.length`. The compiler does not support: a spread
 * that overwrites a key with `undefined`, `${number}`, holes in arrays, 0 and "" as false, and
 * `undefined` or an empty list in a verb's arguments or answer.
 */

/** A seat of the room. Tokens grow with every take; each is used once. */
export type SeatRef = Pick<Seat, "side" | "token">;

/** The connection in a seat. Two occupants are the same if both token and node are equal. */
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
  /** The store had forgotten the occupant, and its peer reported it. Its own node has not confirmed it yet. */
  vouched?: true | undefined;
  /** The token of the last occupant, present or not; 0 before the first. */
  lastToken: number;
  /** The last occupant's sid. */
  sid: string;
  /** The last occupant's accounts. Remembered ids count towards them. */
  accounts: readonly Account[];
  /** When the last occupant left, ms; undefined while the seat is taken or before the first occupant. */
  leftAt?: number | undefined;
  parked?: Parked | undefined;
  guard?: TakeoverGuard | undefined;
  /** Frames held for this side (see `Turn.held`); undefined for none. */
  hold?: Amount | undefined;
  box?: Box | undefined;
  /** Ids of mail that this side has sent (see `Turn.ids`); undefined for none. */
  ids?: Amount | undefined;
}

/** Number and bytes: of frames in UTF-8, of ids with `entryCostBytes` for each. */
interface Amount {
  count: number;
  bytes: number;
}

export interface Parked {
  /** How many newcomers have waited for this occupant. */
  times: number;
  /** The newcomer that waits now. */
  waiter?: WaiterRef | undefined;
}

/** A mailbox: seqs `before` + 1 … `last` are stored (see `Turn.mail`). */
export interface Box {
  before: number;
  last: number;
  /** The highest seq that any connection may have processed. */
  sent: number;
  /** Bytes of the stored payloads, in UTF-8. */
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
  /** When the last side left, ms; undefined while a side is seated. */
  emptyAt?: number | undefined;
  /** The highest token given out. */
  tokens: number;
  paired: boolean;
  established: boolean;
  /** Its code was minted here. */
  readonly minted: boolean;
  /** Its code was redeemed. */
  redeemed: boolean;
  /** The accounts that the room counts towards; empty if it was minted here. */
  readonly owner: readonly Account[];
  readonly A: Place;
  readonly B: Place;
}

export const sides = ["A", "B"] as const;

export function otherSide(side: Side): Side {
  return side === "A" ? "B" : "A";
}

/** The place of a seat; undefined if the seat is no longer its occupant. */
export function placeOf({ room, node }: Turn, { side, token }: SeatRef): Place | undefined {
  const place = room?.[side];
  return place?.seat?.token === token && place.seat.node === node ? place : undefined;
}

// ---- data stored beside a room, because it may be megabytes ------------------------------------

export interface Stored {
  readonly from: Side;
  readonly payload: string;
  /** Bytes of the payload, in UTF-8. */
  readonly bytes: number;
  /** The accounts that it counts towards. */
  readonly accounts: readonly Account[];
  /** Grows with each mail of a box and is never used twice. Unlike its seq, it never changes. */
  readonly stamp: number;
}

export interface Held {
  readonly type: RelayType;
  readonly text: string;
  readonly bytes: number;
  /** The token of the sending connection. */
  readonly from: number;
  /** The accounts that it counts towards. */
  readonly accounts: readonly Account[];
}

/** A stored list. Reads see the changes of this turn. */
export interface List<T> {
  push(item: T): void;
  /** At most `count` items from index `from` on. */
  slice(from: number, count: number): readonly T[];
  /** Drops the first `count`. */
  drop(count: number): void;
  replace(items: readonly T[]): void;
}

/** The ids of a side's last mails, each with its seq. */
export interface IdMemory {
  seqOf(id: string): number | undefined;
  put(id: string, seq: number): void;
  /** Forgets the oldest id and returns it. */
  dropOldest(): string;
  clear(): void;
}

// ---- a turn ------------------------------------------------------------------------------------

/** Totals over all rooms. Each change adds its difference. */
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
/** `bareRooms` are empty rooms without mail. They are forgotten to make space for new rooms. */
export type Sum = (typeof sums)[number] | "bareRooms";

/** Resources of which each account has a share. */
export type Shared = "bytes" | "rooms";

/**
 * One verb's turn at one room: a transaction. All its changes and messages take effect together when
 * the verb returns. If the verb throws, nothing changes. (In memory a room is changed in place: rules may
 * throw only before their first change.)
 */
export interface Turn {
  /** Undefined: the room does not exist. The rules create and forget it by setting this. */
  room: Room | undefined;
  readonly appId: AppId;
  /** ms since the epoch. */
  readonly now: number;
  /** The node that asks. */
  readonly node: string;
  /**
   * A number above all tokens and stamps that the asking node has seen: µs by the node's or the store's
   * clock, whichever is ahead. In memory, which never goes back in time: the next number of a counter.
   */
  readonly fresh: number;
  readonly limits: EngineLimits;
  /** The code that minted the room; undefined if there was none or it is forgotten. */
  code(): RoomCode | undefined;
  /** Whether the node's lease has not ended. Always true for the node that asks. */
  isAlive(node: string): boolean;

  /** `counted` and `charged` include the changes of this turn. */
  counted(sum: Sum): number;
  charged(what: Shared, account: Account): number;
  count(sum: Sum, amount: number): void;
  charge(what: Shared, accounts: readonly Account[], amount: number): void;

  mail(side: Side): List<Stored>;
  held(side: Side): List<Held>;
  ids(side: Side): IdMemory;

  /** Forgets this many bare rooms, the oldest first, when this turn is over. */
  makeSpace(rooms: number): void;
  tell(side: Side, to: Occupant, event: SeatEvent): void;
  tellWaiter(waiter: WaiterRef, event: WaiterEvent): void;
  /** Reports that `count` accepted frames or mails were dropped. */
  dropped(reason: "stale" | "hold_expired" | "room_forgotten", count: number): void;
}

export interface RoomCode {
  readonly state: "live" | "used" | "expired";
  /** When it expires if it is not used, ms. */
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
  /** The relay has started: deliver `held`. Later frames go straight to the seat. */
  | { readonly kind: "started"; readonly held?: readonly Frame[] }
  | ({ readonly kind: "frame" } & Frame)
  | { readonly kind: "replaced"; readonly why: "same_sid" | "dead" }
  /**
   * `check`: the store had lost the room or gone back in time. The seat's node should check its seat.
   * `again`: frames to the peer may be lost, so the pair has to negotiate again.
   */
  | { readonly kind: "mail" | "congested" | "drained" | "check" | "again" }
  /** Asks whether the seat's connection is alive. The answer goes to `node`. */
  | { readonly kind: "probe"; readonly question: string; readonly node: string };

export type WaiterEvent = "vacant" | "displaced";

/** A message to a node, from a turn or from another node. */
export type Message =
  | ({ readonly to: "seat"; readonly event: SeatEvent } & Seat)
  | { readonly to: "waiter"; readonly name: string; readonly event: WaiterEvent }
  /** `asking`: the occupant is being asked. Its own answer follows. */
  | { readonly to: "asker"; readonly question: string; readonly answer: ProbeAnswer };

export type ProbeAnswer = "asking" | "alive" | "dead" | "gone";

/**
 * The holder of a seat, and what its node knows. It is sent with every request of the holder, so that a
 * store that has gone back in time catches up first.
 */
export interface Holder extends SeatRef {
  readonly isStarted: boolean;
  readonly peer?: Occupant | undefined;
  /** Undefined if the store never goes back in time. */
  readonly known?: Known | undefined;
}

/** What a node knows of a connection's seat. A number is 0 until the connection has done its part. */
export interface Known {
  readonly sid: string;
  readonly accounts: readonly Account[];
  /** The room's code was redeemed before it took the seat. */
  readonly redeemed: boolean;
  /** Seq and stamp of the last mail that it has read, by the present numbering. */
  readSeq: number;
  readStamp: number;
  /** A lower bound of its mailbox's `sent`. */
  sentSeq: number;
  /** The highest seq it has acknowledged, at most `readSeq`. */
  acked: number;
  /** The highest seq that was assigned to its mail in each mailbox. */
  storedA: number;
  storedB: number;
}

/**
 * What a mail, a held frame or a remembered id counts in addition to its own bytes. Measured, in bytes:
 * - in memory: 155 for a mail, 200 for a held frame, 460 for a side's first id, 200 for each further id;
 *   260 more if each comes from another client;
 * - in Redis: 900 for the only entry of a room, 20 to 200 for each of several.
 * So the counted bytes are at least half of the bytes used.
 */
export const entryCostBytes = 512;
/** How many ids of mail are remembered for each side. */
export const rememberedIds = 256;
/** How long a takeover by sid at first prevents the next one. */
export const takeoverGuardMs = 10_000;
/** The longest such guard, after it was contested repeatedly. */
export const takeoverGuardMaxMs = 600_000;
/** The highest seq that is accepted from a client. Sums with it stay exact. */
export const maxSeq = 2 ** 53 - 2 ** 32;
