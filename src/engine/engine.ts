import type { Account, AccountKind } from "../base/account.ts";
import type { AppId, Code, Side } from "../base/ids.ts";
import type { MaybePromise } from "../base/maybe-promise.ts";
import type { RelayType } from "../protocol/frames.ts";

/** What kind of frame is relayed. The engine minds offers only. */
export type { RelayType };

/**
 * The written contract between the rules of signaling and the place where state lives.
 *
 * Every verb is atomic: whatever calls race, the outcome is that of some order of them. A verb
 * answers `MaybePromise<T>`: at once from memory, by a promise from a shared store. Losing a race is an
 * outcome, never an exception; a promise rejects only when the store cannot be reached.
 */
export interface Engine {
  readonly codes: Codes;
  readonly rooms: Rooms;
  readonly seats: Seats;
  readonly relay: Relay;
  readonly mailboxes: Mailboxes;
  /**
   * ms since the Unix epoch by the clock that everything expires by: this process's with memory, the
   * store's with a shared one.
   */
  now(): number;
  /** Undefined while the engine can serve; else the reason why not, in words for an operator. */
  ready(): MaybePromise<string | undefined>;
  /** What is refused by an engine that can serve, in words for an operator; undefined for nothing. */
  warning(): string | undefined;
  /**
   * Collects what has expired. Nothing depends on when: expiry is checked at every use. Never
   * rejects.
   */
  sweep(): MaybePromise<void>;
  /** What is held, for the metrics: right now from memory, as of the last sweep from a shared store. */
  sizes(): Sizes;
  close(): Promise<void>;
}

/**
 * A shared store gave no answer in time, or one that makes no sense. The change may have been made or
 * not, but is not made after this. The message is for operators and holds nothing secret.
 */
export class EngineUnreachable extends Error {
  override readonly name = "EngineUnreachable";
}

/** The store is there and has no space for what this would have added: nothing was changed. */
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
  /** As counted: `entryCostBytes` included. Together with the next two at most `mailTotalBytes`. */
  readonly mailBytes: number;
  readonly heldFrames: number;
  /** As counted. */
  readonly heldBytes: number;
  /** Of remembered ids, as counted. */
  readonly idBytes: number;
  /**
   * Of events for nodes in a shared store: at most `streamTotalBytes`,
   * or 4 MiB a node. 0 from memory.
   */
  readonly streamBytes: number;
}

// ---- codes ----------------------------------------------------------------------------------

/**
 * A code is *live* from its claim until it is taken or expires, then *rests* for `restMs`, in
 * which it can be neither taken nor claimed: a late redeem never meets strangers.
 */
export interface Codes {
  /**
   * Claims the first of `candidates` that is free, for a new room. Candidates are drawn lazily and
   * few more than needed: memory draws only those it tries, a shared store at most as many at a time as it
   * has drawn before. Of racing claims of one code exactly one succeeds.
   */
  claim(candidates: Iterable<Code>, entry: NewCode, limits: CodeLimits): MaybePromise<Claim>;
  /**
   * Takes the code out: at most one caller ever gets its entry. A miss counts against all of the
   * guesser's accounts; once one of them has `limitOf(account, maxMisses)` within
   * `redeemWindowMs`, the guesser is locked: then nothing is taken, right code or wrong. The lock of a
   * client is one window long at first and twice as long each time it goes on right after, up to
   * `longestLocks`. A site has no lock: at its limit a further miss locks each of its customers that
   * has `maxMisses`, and nobody else. With a `maxMisses` of 0 no guesser is ever locked. Past a bound
   * on accounts, further ones are not remembered and not locked.
   *
   * A miss counts for everybody together too: against each live code of the same length, which is
   * withdrawn after as many as it was allowed, and towards `recentMisses`. Check, take and count are
   * one step: guesses made in parallel cannot slip past a limit.
   */
  guess(code: Code, accounts: readonly Account[], maxMisses: number): MaybePromise<Guess>;
  /**
   * Misses of everybody, at codes of any length, in this `redeemWindowMs` and the one before it.
   * As of the last claim, guess or sweep; with a shared store, of this node.
   */
  recentMisses(): number;
}

export type Guess =
  | { readonly outcome: "taken"; readonly entry: CodeEntry }
  /** Unknown, used or expired. */
  | { readonly outcome: "gone" }
  /** Live, but no longer given out: too many other codes of its length were tried. */
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
  /** Whose quotas it counts towards; empty for nobody's. */
  readonly accounts: readonly Account[];
}

export interface CodeLimits {
  /** Claim only while live codes, this one included, stay at or below this. */
  readonly maxLive: number;
  /** Claim only while live and resting codes together, this one included, stay at or below this. */
  readonly maxUsed: number;
  /** Live and resting codes that an account of each kind may hold, ≥ 1. */
  readonly maxHeld: Readonly<Record<AccountKind, number>>;
  /** The first that holds for `recentMisses` is the new code's. Claim only if there is one. */
  readonly allowances: readonly MissAllowance[];
}

/** A code claimed while recent misses are at most `upToRecent` is withdrawn after `misses` more at its length. */
export interface MissAllowance {
  readonly upToRecent: number;
  readonly misses: number;
}

export type Claim =
  | { readonly outcome: "claimed"; readonly code: Code; readonly expiresAt: number }
  /** All candidates were live or resting. */
  | { readonly outcome: "collided" }
  /** `maxLive` or `maxUsed` is reached, or there are more recent misses than any allowance is for. */
  | { readonly outcome: "crowded" }
  /**
   * An account holds all it may; `retryAfterMs` until the first of its codes is free again. Exact up
   * to 128 codes, with more of them perhaps too long.
   */
  | { readonly outcome: "client_full"; readonly retryAfterMs: number };

// ---- rooms ----------------------------------------------------------------------------------

/**
 * A room comes into being when a first side takes a seat. It is forgotten `relayHoldMs` after the
 * last side left, or `roomTtlMs` after it when mail waits or its code lives or was redeemed.
 */
export interface Rooms {
  /**
   * Marks the room's session as established. The first call gives the room's age in ms, every
   * later one undefined.
   */
  establish(seat: Seat): MaybePromise<number | undefined>;
  /** Whether there is a peer on this side; with `mustBeRedeemed`, in a room whose code was taken. */
  allowsIce(appId: AppId, side: Side, mustBeRedeemed: boolean): MaybePromise<IceGrant>;
}

/** There is no space for another room: in all, or of the share that one of its accounts may have. */
export interface NoSpace {
  readonly outcome: "full" | "share_full";
}

export type IceGrant =
  | "granted"
  /** The seat is free. */
  | "no_seat"
  /** The room's code was not minted here, or not taken. */
  | "not_redeemed";

// ---- seats ----------------------------------------------------------------------------------

/**
 * Proof that a connection holds a side of a room. The token is unique in the room and grows with
 * every take: a connection with an older one is no longer the holder, and has no effect.
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
  /** What this newcomer makes the engine hold counts to these. */
  readonly accounts: readonly Account[];
  readonly listener: SeatListener;
}

/**
 * What an engine calls on the connection in a seat. Calls come one at a time and must not throw. None
 * comes before `take` has answered, after `leave`, or after `replaced` or `cutOff`.
 */
export interface SeatListener {
  /**
   * A relayed frame for this side, exactly as it was published.
   * False when the connection has more unsent than it should: the sender should wait for
   * `peerDrained`. The frame was accepted all the same.
   */
  relayed(frame: string, type: RelayType): boolean;
  /** The other side took its seat (also when it took it over from itself). */
  peerJoined(): void;
  peerLeft(): void;
  /** As the outcome `congested` of a publish, where that was not known when the publish answered. */
  peerCongested(): void;
  /** The other side's connection has room again after a `congested` publish. */
  peerDrained(): void;
  /** There is mail that this connection may not have read yet. */
  mailStored(): void;
  /** The seat is another connection's now. `dead`: this one had not answered when asked. */
  replaced(why: "same_sid" | "dead"): void;
  /**
   * The seat is given up: this node cannot reach the store it is kept in, though another node may.
   * Nothing is called after it, as after `replaced`.
   */
  cutOff(): void;
  /** Is the connection alive? Asked when a newcomer wants the seat. */
  probed(): Promise<boolean>;
}

/**
 * How far `take` may go for a seat that is occupied: `free` never takes over; `same_sid` takes over
 * from an occupant with the same non-empty sid, unless the seat changed hands that way too
 * recently (`takeoverGuardMs`, doubled on each repetition up to `takeoverGuardMaxMs`: two live
 * holders of one sid must not evict each other for ever); a token takes over from exactly that
 * occupant, which was found dead.
 */
export type Claimable = "free" | "same_sid" | { readonly dead: number };

export interface Seats {
  /**
   * Takes the seat. Of two racing takers of an empty seat one gets it. The other side's listener
   * hears `peerJoined`, a replaced occupant `replaced`, both before this answers.
   *
   * A room that does not exist comes into being, but only while there are fewer than `maxRooms`
   * (half of that when its code was not minted here), where rooms that stand empty without mail do
   * not count: they give way. A room that was not minted here is counted to the accounts of its first
   * newcomer, until it is forgotten. `NoSpace` changes and counts nothing.
   */
  take(newcomer: Newcomer, how: Claimable): MaybePromise<Taken | Busy | NoSpace>;
  /**
   * Gives the seat up. The other side hears `peerLeft`, a waiting newcomer `vacant`. False, and
   * nothing happens, when the token no longer holds the seat.
   */
  leave(seat: Seat): MaybePromise<boolean>;
  /**
   * Asks the occupant with this token for a sign of life. `gone` when it is no longer the occupant.
   */
  probe(appId: AppId, side: Side, token: number): MaybePromise<"alive" | "dead" | "gone">;
  /**
   * Waits for an occupied seat. One newcomer a side: a later one sends the earlier away, which
   * hears `displaced`. `vacant` is called when the seat may be free: take again, others may too.
   */
  park(appId: AppId, side: Side, waiter: Waiter): MaybePromise<Parked>;
}

export interface Taken {
  readonly outcome: "taken";
  readonly seat: Seat;
  /** The other side is seated. */
  readonly peer: boolean;
  /** This made the room two for the first time. */
  readonly firstPair: boolean;
  /** Frames held for this side. Unless there are none, nothing is relayed to it before `relay.start`. */
  readonly held: number;
  /** Highest seq this side's mailbox has given out, 0 for none. */
  readonly lastSeq: number;
  /** Mail is stored for this side. */
  readonly mailWaits: boolean;
}

export interface Busy {
  readonly outcome: "busy";
  /** The occupant's. */
  readonly token: number;
}

export interface Waiter {
  vacant(): void;
  displaced(): void;
}

export interface Parked {
  /** How many newcomers, this one included, have waited for this very occupant: 1 or more. */
  readonly times: number;
  /** Gives the place up. Harmless when it was lost already. */
  unpark(): void;
}

// ---- relay ----------------------------------------------------------------------------------

/** Frames between the two seats of a room. From one seat to the other, order holds. */
export interface Relay {
  /**
   * Sends a frame to the other side, as it is. A side that left less than `relayHoldMs` ago, or
   * whose relay has not begun yet, has it held (`holdMaxFrames`, `holdMaxBytes`), as counted to the
   * sender's accounts. An `offer` first discards what earlier connections of the sender's side had
   * held: that negotiation is over. Frames need not wait for each other's outcomes: to a shared
   * store those that do not go together.
   */
  publish(seat: Seat, frame: string, type: RelayType): MaybePromise<RelayOutcome>;
  /** Begins delivery to this seat: what was held first, in order, or with `discard` without it. */
  start(seat: Seat, discard: boolean): MaybePromise<void>;
  /** This seat's connection has room again: the other side hears `peerDrained`. */
  drained(seat: Seat): void;
}

export type RelayOutcome =
  | "delivered"
  /** Delivered, and the receiver has more unsent than it should: wait for `peerDrained`. */
  | "congested"
  | "held"
  /** Dropped: the other side is not there, nor left recently. */
  | "no_peer"
  /** Dropped: the hold's bounds, or the bound over everything held, are reached. */
  | "hold_full"
  /** Dropped: one of the sender's accounts holds its share of everything held. */
  | "hold_share"
  /** Dropped: the sender's seat is another's now. */
  | "replaced";

// ---- mailboxes ------------------------------------------------------------------------------

/**
 * Mail for one side of a room: numbered from 1 without gaps, kept until acknowledged or the room
 * is forgotten. Bounded by `mailboxMaxMails`, `mailboxMaxBytes` of payload and, over everything
 * held, `mailTotalBytes`, of which each account has its share (`shareOf`). Counted to the sender's
 * accounts, also when it has left. No stored mail is ever dropped for a new one.
 */
export interface Mailboxes {
  /**
   * Stores mail from this seat's side in the mailbox of `to`. `to`'s listener hears `mailStored`.
   * With an `id` that this side has used for one of its last `rememberedIds` mails, nothing is
   * stored and the earlier seq is answered. A `strict` sender (one that no error frame reaches) that
   * was refused once is refused until the box is half empty.
   */
  append(seat: Seat, to: Side, mail: NewMail): MaybePromise<Appended>;
  /**
   * This side's mail after seq `after`, oldest first: at least one if there is any, then as many
   * as fit `maxBytes`. What is read counts as sent.
   */
  read(seat: Seat, after: number, maxBytes: number): MaybePromise<readonly Mail[]>;
  /** Drops this side's mail up to and including seq `upTo`. */
  ack(seat: Seat, upTo: number): MaybePromise<void>;
  /**
   * A (re)connected client says what it has processed. Up to the highest seq ever sent: as `ack`.
   * Above it the client comes from another life of this room: nothing is dropped, what is stored
   * is renumbered from `upTo` + 1, and numbering goes on there. Answers how far the stored mail
   * was moved (0 for not at all) and the seq before the oldest stored mail.
   */
  hello(
    seat: Seat,
    upTo: number,
  ): MaybePromise<{ readonly moved: number; readonly before: number }>;
}

export interface NewMail {
  /** JSON text, kept as it is: no part of a longer text, all of which would stay with it. */
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
  /** One of the sender's accounts holds its share of everything held. */
  | { readonly outcome: "share_full" }
  | { readonly outcome: "replaced" };

// ---- bounds ---------------------------------------------------------------------------------

export interface EngineLimits {
  readonly roomTtlMs: number;
  /** For how long misses count, and how long a first lock lasts. */
  readonly redeemWindowMs: number;
  readonly relayHoldMs: number;
  readonly maxRooms: number;
  readonly holdMaxFrames: number;
  readonly holdMaxBytes: number;
  readonly mailboxMaxMails: number;
  readonly mailboxMaxBytes: number;
  /** Over mail, held frames and remembered ids of all rooms, as counted. */
  readonly mailTotalBytes: number;
}

/** What a shared store may spend, beside `mailTotalBytes`, on events that nodes have not read. */
export function streamTotalBytes({ mailTotalBytes }: EngineLimits): number {
  return Math.floor(mailTotalBytes / 4);
}

export {
  entryCostBytes,
  rememberedIds,
  takeoverGuardMaxMs,
  takeoverGuardMs,
} from "./rules/turn.ts";
