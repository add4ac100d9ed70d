import { type Account, type AccountKind, limitOf } from "../../base/account.ts";
import type { AppId, Code } from "../../base/ids.ts";
import type { Claim, CodeLimits, Guess, NewCode } from "../engine.ts";
import { byteLength } from "./text.ts";

// Who may claim a code, who may take it, and when a guesser is locked. Like the rules of a room, these
// work on plain data and a turn that the store provides.

/** A code that is not free: live until it is taken or expires, then resting. */
export interface CodeRecord {
  readonly code: Code;
  readonly appId: AppId;
  readonly accounts: readonly Account[];
  readonly restMs: number;
  /** The first moment at which it is no longer live, ms. */
  readonly expiresAt: number;
  /** It is withdrawn when all misses ever made at its length reach this number. */
  readonly withdrawAt: number;
  isUsed: boolean;
  /** When it may be claimed again. */
  freeAt: number;
}

/** Misses of all clients together. */
export interface Misses {
  /** The number of the current window. */
  window: number;
  /** Misses in it. */
  current: number;
  /** Misses in the window before. */
  previous: number;
  /** Misses of all time, by the number of digits of the code ("4", "5", …). */
  readonly byDigits: Record<string, number>;
}

/** The recent misses of an account. Times in ms. */
export interface Guesser {
  count: number;
  /** When `count` starts again from 0. */
  windowEnd: number;
  /** Every redeem is refused before this. */
  lockedUntil: number;
  /** How many locks have followed each other without a quiet window between them. */
  locks: number;
  /** When this record is forgotten: one quiet window after the last window or lock. */
  forgetAt: number;
}

/** One atomic operation on the codes. */
export interface CodesTurn {
  readonly now: number;
  /** How long a miss counts, and how long a first lock lasts. */
  readonly windowMs: number;
  /** The record of a live or resting code; undefined for a free one. */
  code(code: Code): CodeRecord | undefined;
  /** Stores the record of a new code. */
  claimed(record: CodeRecord): void;
  /** Stores the changed record of a live code: it is used, and rests from now on. */
  taken(record: CodeRecord): void;
  /** Number of live codes. */
  live(): number;
  /** Number of live and resting codes. */
  inUse(): number;
  /** Number of live and resting codes of an account. */
  heldBy(account: string): number;
  /** When the first code of an account is free again. */
  firstFree(account: string): number;
  misses(): Misses;
  setMisses(misses: Misses): void;
  /** Undefined once it is forgotten. */
  guesser(account: string): Guesser | undefined;
  /** Number of accounts with a guesser. */
  guessers(): number;
  setGuesser(account: string, guesser: Guesser): void;
}

/** Misses are tracked for at most this many accounts. Misses of further accounts only count globally. */
const maxGuessers = 100_000;

/** The longest lock of an account of each kind, in windows; 0: it is never locked. */
export const longestLocks = {
  client: 64,
  customer: 1,
  site: 0,
  shared: 1,
} as const satisfies Record<AccountKind, number>;

/** Claims the first of the candidates that is free. */
export function claim(
  turn: CodesTurn,
  candidates: readonly Code[],
  entry: NewCode,
  limits: CodeLimits,
): Claim {
  const { now } = turn;
  for (const { key, kind } of entry.accounts) {
    if (turn.heldBy(key) >= limits.maxHeld[kind]) {
      return { outcome: "client_full", retryAfterMs: Math.max(0, turn.firstFree(key) - now) };
    }
  }
  const recent = recentMisses(turn);
  const allowance = limits.allowances.find(({ upToRecent }) => recent <= upToRecent);
  if (allowance === undefined) return { outcome: "crowded" };
  if (turn.live() >= limits.maxLive || turn.inUse() >= limits.maxUsed) {
    return { outcome: "crowded" };
  }
  for (const code of candidates) {
    if (turn.code(code) !== undefined) continue;
    const { appId, accounts, restMs, ttlMs } = entry;
    const expiresAt = now + ttlMs;
    turn.claimed({
      code,
      appId,
      accounts,
      restMs,
      expiresAt,
      withdrawAt: missesAt(turn, code) + allowance.misses,
      isUsed: false,
      freeAt: expiresAt + restMs,
    });
    return { outcome: "claimed", code, expiresAt };
  }
  return { outcome: "collided" };
}

/** Takes a code out, unless the guesser is locked. Counts a miss for its accounts and globally. */
export function guess(
  turn: CodesTurn,
  code: Code,
  accounts: readonly Account[],
  maxMisses: number,
): Guess {
  const { now } = turn;
  if (maxMisses > 0) {
    let lockedUntil = 0;
    for (const { key } of accounts) {
      lockedUntil = Math.max(lockedUntil, turn.guesser(key)?.lockedUntil ?? 0);
    }
    if (lockedUntil > now) return { outcome: "locked", retryAfterMs: lockedUntil - now };
  }
  const record = turn.code(code);
  if (record === undefined || record.isUsed || now >= record.expiresAt) {
    missed(turn, code);
    if (maxMisses > 0) countMisses(turn, accounts, maxMisses);
    return { outcome: "gone" };
  }
  if (missesAt(turn, code) >= record.withdrawAt) return { outcome: "withdrawn" };
  record.isUsed = true;
  record.freeAt = now + record.restMs;
  turn.taken(record);
  return { outcome: "taken", entry: { appId: record.appId, expiresAt: record.expiresAt } };
}

/** Misses in this window and the one before. So every miss counts for at least `windowMs`. */
export function recentMisses(turn: CodesTurn): number {
  const { current, previous } = inThisWindow(turn);
  return current + previous;
}

/** Misses of all time at codes of this length. */
function missesAt(turn: CodesTurn, code: Code): number {
  return turn.misses().byDigits[digitsOf(code)] ?? 0;
}

function digitsOf(code: Code): string {
  return String(byteLength(code));
}

function missed(turn: CodesTurn, code: Code): void {
  const misses = inThisWindow(turn);
  misses.current++;
  misses.byDigits[digitsOf(code)] = missesAt(turn, code) + 1;
  turn.setMisses(misses);
}

function inThisWindow(turn: CodesTurn): Misses {
  const known = turn.misses();
  const window = Math.floor(turn.now / turn.windowMs);
  if (known.window !== window) {
    known.previous = known.window === window - 1 ? known.current : 0;
    known.current = 0;
    known.window = window;
  }
  return known;
}

/** See `Codes.guess`. A site is never locked: that would also lock neighbours who have valid codes. */
function countMisses(turn: CodesTurn, accounts: readonly Account[], maxMisses: number): void {
  let siteIsFull = false;
  // From the site to the client.
  for (let i = accounts.length - 1; i >= 0; i--) {
    const account = accounts[i];
    if (account === undefined) continue;
    const guesser = turn.guesser(account.key) ?? newGuesser(turn);
    if (guesser === undefined) continue;
    const limit: number = siteIsFull ? maxMisses : limitOf(account, maxMisses);
    const longestLock: number = longestLocks[account.kind];
    countMiss(turn, guesser, limit, longestLock);
    if (longestLock === 0) siteIsFull = guesser.count >= limit;
    turn.setGuesser(account.key, guesser);
  }
}

function newGuesser(turn: CodesTurn): Guesser | undefined {
  if (turn.guessers() >= maxGuessers) return undefined;
  return { count: 0, windowEnd: 0, lockedUntil: 0, locks: 0, forgetAt: 0 };
}

function countMiss(
  { now, windowMs }: CodesTurn,
  guesser: Guesser,
  limit: number,
  longestLock: number,
): void {
  if (now >= guesser.windowEnd) {
    guesser.count = 0;
    guesser.windowEnd = now + windowMs;
  }
  guesser.count++;
  if (guesser.count >= limit && longestLock > 0) {
    guesser.lockedUntil = now + Math.min(2 ** guesser.locks, longestLock) * windowMs;
    guesser.windowEnd = guesser.lockedUntil;
    guesser.locks++;
  }
  const quietMs = guesser.locks > 0 ? windowMs : 0;
  guesser.forgetAt = Math.max(guesser.forgetAt, guesser.windowEnd + quietMs);
}
