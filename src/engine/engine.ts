import type { Account, AccountKind } from "../base/account.ts";
import type { AppId, Code, Side } from "../base/ids.ts";
import type { MaybePromise } from "../base/maybe-promise.ts";
import type { RelayType } from "../protocol/frames.ts";

/** The type of a relayed frame. The engine treats only `offer` differently. */
export type { RelayType };

/**
 * The contract between signaling and the engine, which holds all state.
 *
 * Every verb is atomic: racing calls have the same outcome as if they had run one after the other. A
 * verb returns `MaybePromise<T>`: a value from memory, a promise from a shared store. Losing a race is an
 * outcome, never an exception; a promise rejects only when the store cannot be reached.
 */
export interface Engine {
  readonly codes: Codes;
  readonly rooms: Rooms;
  readonly seats: Seats;
  readonly relay: Relay;
  readonly mailboxes: Mailboxes;
  /**
   * ms since the Unix epoch. Everything expires by this clock: this process's clock with the memory
   * engine, the store's clock with a shared store.
   */
  now(): number;
  /** Undefined while the engine can serve; otherwise the reason it cannot, for an operator. */
  ready(): MaybePromise<string | undefined>;
  /** What an engine that can serve refuses at present, for an operator; undefined: nothing. */
  warning(): string | undefined;
  /**
   * Deletes expired entries. It may run at any time, since expiry is also checked at every use.
   * Never rejects.
   */
  sweep(): MaybePromise<void>;
  /** Sizes for the metrics: current with the memory engine, as of the last sweep with a shared store. */
  sizes(): Sizes;
  close(): Promise<void>;
}

/**
 * A shared store did not answer in time, or its answer was invalid. The change may have been made; it
 * will not be made later. The message is for operators and contains no secrets.
 */
export class EngineUnreachable extends Error {
  override readonly name = "EngineUnreachable";
}

/** The store has no space for the new data. Nothing was changed. */
export class EngineFull extends EngineUnreachable {}

export interface Sizes {
  readonly rooms: number;
  readonly peers: number;
  readonly codesLive: number;
  readonly codesResting: number;
  readonly codeClients: number;
  readonly guessers: number;
  readonly mailboxes: number;
  readonly mails: number;
  /**
   * With `entryCostBytes` for each mail. `mailBytes`, `heldBytes` and `idBytes` together are at most
   * `mailTotalBytes`.
   */
  readonly mailBytes: number;
  readonly heldFrames: number;
  /** With `entryCostBytes` for each frame. */
  readonly heldBytes: number;
  /** Of remembered ids, with `entryCostBytes` for each. */
  readonly idBytes: number;
  /**
   * Unread events for nodes in a shared store: at most `streamTotalBytes`, or 4 MiB per node if that is
   * more. 0 with the memory engine.
   */
  readonly streamBytes: number;
}

// ---- codes ----------------------------------------------------------------------------------

/**
 * A code is *live* from its claim until it is taken or expires. Then it *rests* for `restMs`: it can be
 * neither taken nor claimed, so a late redeem never reaches a stranger's room.
 */
export interface Codes {
  /**
   * Claims the first free code of `candidates` for a new room. Candidates are drawn lazily. The memory
   * engine draws only those it tries; a shared store draws batches, each at most as large as all
   * batches before it. If several callers claim one code at once, exactly one succeeds.
   */
  claim(candidates: Iterable<Code>, entry: NewCode, limits: CodeLimits): MaybePromise<Claim>;
  /**
   * Takes the code out: at most one caller ever gets its entry.
   *
   * A miss counts against all accounts of the guesser. Once an account has `limitOf(account, maxMisses)`
   * misses within `redeemWindowMs`, the guesser is locked: every guess is refused, even of a valid
   * code. A client's first lock lasts one window. Each lock that follows directly lasts twice as
   * long, up to `longestLocks`. A site is never locked: once it has reached its limit, a further miss
   * locks only those of its customers that have `maxMisses`. `maxMisses` of 0 turns locks off. The
   * number of accounts is bounded: further accounts are not tracked and not locked.
   *
   * A miss also counts globally: against each live code of the same length, which is withdrawn after
   * its allowed number of misses, and towards `recentMisses`. Check, take and count are one atomic
   * step: parallel guesses cannot exceed a limit.
   */
  guess(code: Code, accounts: readonly Account[], maxMisses: number): MaybePromise<Guess>;
  /**
   * Misses of all clients, at codes of any length, in the current and the previous `redeemWindowMs`.
   * With a shared store: as of this node's last claim, guess or sweep.
   */
  recentMisses(): number;
}

export type Guess =
  | { readonly outcome: "taken"; readonly entry: CodeEntry }
  /** Unknown, used or expired. */
  | { readonly outcome: "gone" }
  /** Live, but no longer redeemable: too many wrong codes of its length were tried. */
  | { readonly outcome: "withdrawn" }
  /** `retryAfterMs` until the lock ends, > 0. */
  | { readonly outcome: "locked"; readonly retryAfterMs: number };

export interface CodeEntry {
  readonly appId: AppId;
  /** ms since the epoch; the first moment at which the code is no longer valid. */
  readonly expiresAt: number;
}

export interface NewCode {
  readonly appId: AppId;
  /** How long the code lives, > 0. */
  readonly ttlMs: number;
  /** How long it then rests, ≥ 0. */
  readonly restMs: number;
  /** Accounts whose quotas it counts towards; may be empty. */
  readonly accounts: readonly Account[];
}

export interface CodeLimits {
  /** Most live codes, including the new one. */
  readonly maxLive: number;
  /** Most live and resting codes together, including the new one. */
  readonly maxUsed: number;
  /** Live and resting codes that an account of each kind may hold, ≥ 1. */
  readonly maxHeld: Readonly<Record<AccountKind, number>>;
  /** The first with `recentMisses` ≤ `upToRecent` applies to the new code. If none does, nothing is claimed. */
  readonly allowances: readonly MissAllowance[];
}

/** A code claimed while `recentMisses` ≤ `upToRecent` is withdrawn after `misses` more at its length. */
export interface MissAllowance {
  readonly upToRecent: number;
  readonly misses: number;
}

export type Claim =
  | { readonly outcome: "claimed"; readonly code: Code; readonly expiresAt: number }
  /** All candidates were live or resting. */
  | { readonly outcome: "collided" }
  /** `maxLive` or `maxUsed` is reached, or recent misses are above every `upToRecent`. */
  | { readonly outcome: "crowded" }
  /**
   * An account has reached its quota. Its first code is free again in `retryAfterMs`: exact for up to
   * 128 codes, possibly too long for more.
   */
  | { readonly outcome: "client_full"; readonly retryAfterMs: number };

// ---- rooms ----------------------------------------------------------------------------------

/**
 * A room is created when its first side takes a seat. It is forgotten `relayHoldMs` after the last side
 * left; if mail is stored, or its code is live or was redeemed, up to `roomTtlMs` after.
 */
export interface Rooms {
  /**
   * Marks the room's session as established. The first call returns the room's age in ms, later
   * calls return undefined.
   */
  establish(seat: Seat): MaybePromise<number | undefined>;
  /** Whether this side is seated and, with `mustBeRedeemed`, the room's code was redeemed. */
  allowsIce(appId: AppId, side: Side, mustBeRedeemed: boolean): MaybePromise<IceGrant>;
}

/** Another room would exceed the bound on all rooms (`full`) or the share of an account (`share_full`). */
export interface NoSpace {
  readonly outcome: "full" | "share_full";
}

export type IceGrant =
  | "granted"
  /** The seat is free. */
  | "no_seat"
  /** The room's code was not minted here, or not redeemed. */
  | "not_redeemed";

// ---- seats ----------------------------------------------------------------------------------

/**
 * Proof that a connection holds a side of a room. The token is unique in the room and grows with
 * every take. Calls with an older token have no effect: another connection holds the seat.
 */
export interface Seat {
  readonly appId: AppId;
  readonly side: Side;
  readonly token: number;
}

/** A connection that asks for a seat. */
export interface Newcomer {
  readonly appId: AppId;
  readonly side: Side;
  /** The client's session id; empty when it has none. Equal non-empty ids are one client. */
  readonly sid: string;
  /** Data that the engine stores for this newcomer counts towards these accounts. */
  readonly accounts: readonly Account[];
  readonly listener: SeatListener;
}

/**
 * Callbacks of an engine to the connection in a seat. They are called one at a time and must not
 * throw. No callback comes before `take` has returned, or after `leave`, `replaced` or `cutOff`.
 */
export interface SeatListener {
  /**
   * A relayed frame for this side, exactly as it was published. Returns false when the connection is
   * congested: the frame was accepted, but the sender should wait for `peerDrained`.
   */
  relayed(frame: string, type: RelayType): boolean;
  /** The other side took its seat, or took it over from its own earlier connection. */
  peerJoined(): void;
  peerLeft(): void;
  /** The receiver of a frame turned out to be congested after its publish had returned `delivered`. */
  peerCongested(): void;
  /** The other side's connection is writable again after a `congested` publish. */
  peerDrained(): void;
  /** Mail is stored that this connection may not have read yet. */
  mailStored(): void;
  /** Another connection took the seat. `dead`: this one did not answer a probe. */
  replaced(why: "same_sid" | "dead"): void;
  /**
   * The seat is given up because this node cannot reach the store. Another node may still reach it.
   * This is the last callback, as `replaced` is.
   */
  cutOff(): void;
  /** Whether the connection is alive. Called when a newcomer wants the seat. */
  probed(): Promise<boolean>;
}

/**
 * From which occupant `take` may take the seat over:
 * - `free`: from no occupant.
 * - `same_sid`: from one with the same non-empty sid. Refused for `takeoverGuardMs` after the last such
 *   takeover, doubled on each repetition up to `takeoverGuardMaxMs`: two live holders of one sid must
 *   not evict each other forever.
 * - `dead`: from exactly the occupant with this token, which did not answer a probe.
 */
export type Claimable = "free" | "same_sid" | { readonly dead: number };

export interface Seats {
  /**
   * Takes the seat. If two newcomers race for an empty seat, one gets it. Before this returns,
   * `peerJoined` is called on the other side and `replaced` on a replaced occupant.
   *
   * Creates the room if it does not exist and there are fewer than `maxRooms`, or half of that for a
   * room whose code was not minted here. Empty rooms without mail do not count: they are forgotten to
   * make space. A room that was not minted here counts towards the accounts of its first newcomer until
   * it is forgotten. After `NoSpace` nothing has changed.
   */
  take(newcomer: Newcomer, how: Claimable): MaybePromise<Taken | Busy | NoSpace>;
  /**
   * Gives the seat up: calls `peerLeft` on the other side and `vacant` on a waiting newcomer. Returns
   * false and does nothing when the token no longer holds the seat.
   */
  leave(seat: Seat): MaybePromise<boolean>;
  /**
   * Asks the occupant with this token whether it is alive. `gone` when it is no longer the occupant.
   */
  probe(appId: AppId, side: Side, token: number): MaybePromise<"alive" | "dead" | "gone">;
  /**
   * Waits for an occupied seat. One newcomer per side can wait: a later one displaces an earlier one,
   * on which `displaced` is called. `vacant` is called when the seat may be free: call `take` again,
   * which may lose against others. Returns undefined, and does not wait, if the seat is free already.
   */
  park(appId: AppId, side: Side, waiter: Waiter): MaybePromise<Parked | undefined>;
}

export interface Taken {
  readonly outcome: "taken";
  readonly seat: Seat;
  /** The other side is seated. */
  readonly peer: boolean;
  /** Both sides are seated for the first time in this room. */
  readonly firstPair: boolean;
  /** Number of frames held for this side. If it is above 0, nothing is relayed to it before `relay.start`. */
  readonly held: number;
  /** Highest seq assigned in this side's mailbox; 0: no mail yet. */
  readonly lastSeq: number;
  /** Mail is stored for this side. */
  readonly mailWaits: boolean;
}

export interface Busy {
  readonly outcome: "busy";
  /** The token of the occupant. */
  readonly token: number;
}

export interface Waiter {
  vacant(): void;
  displaced(): void;
}

export interface Parked {
  /** How many newcomers, including this one, have waited for this occupant, ≥ 1. */
  readonly times: number;
  /** Stops waiting. Does nothing if the newcomer was already displaced. */
  unpark(): void;
}

// ---- relay ----------------------------------------------------------------------------------

/** Frames between the two seats of a room, in order in each direction. */
export interface Relay {
  /**
   * Sends a frame to the other side, unchanged. The frame is held if that side left less than
   * `relayHoldMs` ago or its relay has not started (bounds: `holdMaxFrames`, `holdMaxBytes`). Held
   * frames count towards the sender's accounts. An `offer` first discards held frames of earlier
   * connections of the sender's side: their negotiation is over. A caller need not wait for one
   * outcome before the next call: a shared store then gets several frames in one call.
   */
  publish(seat: Seat, frame: string, type: RelayType): MaybePromise<RelayOutcome>;
  /** Starts the relay to this seat. Held frames are delivered first, in order, or dropped with `discard`. */
  start(seat: Seat, discard: boolean): MaybePromise<void>;
  /** This seat's connection is writable again: `peerDrained` is called on the other side. */
  drained(seat: Seat): void;
}

export type RelayOutcome =
  | "delivered"
  /** Delivered, and the receiver is congested: wait for `peerDrained`. */
  | "congested"
  | "held"
  /** Dropped: the other side is not seated and did not leave recently. */
  | "no_peer"
  /** Dropped: a bound of this hold, or `mailTotalBytes`, is reached. */
  | "hold_full"
  /** Dropped: one of the sender's accounts has used its share of `mailTotalBytes`. */
  | "hold_share"
  /** Dropped: the sender no longer holds its seat. */
  | "replaced";

// ---- mailboxes ------------------------------------------------------------------------------

/**
 * Mail for one side of a room: numbered from 1 without gaps, stored until it is acknowledged or the room
 * is forgotten. Bounds of a mailbox: `mailboxMaxMails`, and `mailboxMaxBytes` of payload. Bound of
 * all rooms: `mailTotalBytes`, of which each account has a share (`shareOf`). Mail counts towards the
 * sender's accounts, even after the sender has left. Stored mail is never dropped for new mail.
 */
export interface Mailboxes {
  /**
   * Stores mail from this seat's side in the mailbox of `to`, and calls `mailStored` on that side. If
   * this side used the same `id` for one of its last `rememberedIds` mails, stores nothing and returns
   * the earlier seq. A `strict` sender cannot receive an error frame: after one refusal, all its mail
   * is refused until the box is half empty.
   */
  append(seat: Seat, to: Side, mail: NewMail): MaybePromise<Appended>;
  /**
   * This side's mail after seq `after`, oldest first. Returns at least one mail if any is stored, then as
   * many as fit in `maxBytes`. Mail that was read counts as sent.
   */
  read(seat: Seat, after: number, maxBytes: number): MaybePromise<readonly Mail[]>;
  /** Drops this side's mail up to and including seq `upTo`. */
  ack(seat: Seat, upTo: number): MaybePromise<void>;
  /**
   * A (re)connected client reports its watermark `upTo`. Up to the highest seq ever sent this works as
   * `ack`. A higher watermark refers to a room that the engine has since forgotten: nothing is dropped,
   * and stored and later mail is numbered from `upTo` + 1. Returns by how much the seqs of stored mail
   * grew (`moved`), and the seq before the oldest stored mail (`before`).
   */
  hello(
    seat: Seat,
    upTo: number,
  ): MaybePromise<{ readonly moved: number; readonly before: number }>;
}

export interface NewMail {
  /** JSON text. Not a slice of a longer string: a slice keeps the whole string in memory. */
  readonly payload: string;
  readonly id: string | undefined;
  readonly strict: boolean;
}

export interface Mail {
  readonly seq: number;
  readonly from: Side;
  readonly payload: string;
}

export type Appended =
  | { readonly outcome: "stored"; readonly seq: number }
  | { readonly outcome: "full" }
  /** One of the sender's accounts has used its share of `mailTotalBytes`. */
  | { readonly outcome: "share_full" }
  | { readonly outcome: "replaced" };

// ---- bounds ---------------------------------------------------------------------------------

export interface EngineLimits {
  readonly roomTtlMs: number;
  /** How long a miss counts, and how long a first lock lasts. */
  readonly redeemWindowMs: number;
  readonly relayHoldMs: number;
  readonly maxRooms: number;
  readonly holdMaxFrames: number;
  readonly holdMaxBytes: number;
  readonly mailboxMaxMails: number;
  readonly mailboxMaxBytes: number;
  /** Bound on mail, held frames and remembered ids of all rooms, with `entryCostBytes` for each. */
  readonly mailTotalBytes: number;
}

/** Bound on the events that nodes have not read in a shared store. Not part of `mailTotalBytes`. */
export function streamTotalBytes({ mailTotalBytes }: EngineLimits): number {
  return Math.floor(mailTotalBytes / 4);
}

export {
  entryCostBytes,
  rememberedIds,
  takeoverGuardMaxMs,
  takeoverGuardMs,
} from "./rules/turn.ts";
