import { type Account, type AccountKind, limitOf } from "../../base/account.ts";
import type { AppId, Code } from "../../base/ids.ts";
import type { Claim, CodeLimits, Guess, NewCode } from "../engine.ts";
import { byteLength } from "./text.ts";

// Who may claim a code, who may take it, and when a guesser is locked. As the rules of a room: plain data,
// and a turn that a store lends.

/** A code from its claim until it is free again: live until it is taken or expires, then resting. */
export interface CodeRecord {
  readonly code: Code;
  readonly appId: AppId;
  readonly accounts: readonly Account[];
  readonly restMs: number;
  /** The first moment at which it is no longer live. */
  readonly expiresAt: number;
  /** It is withdrawn once there were this many misses of all time at its length. */
  readonly withdrawAt: number;
  isUsed: boolean;
  /** When it may be claimed again. */
  freeAt: number;
}

/** Misses of everybody together. */
export interface Misses {
  /** The number of the current window; misses in it, and in the one before. */
  window: number;
  current: number;
  previous: number;
  /** Of all time, by the number of digits ("4", "5", …). */
  readonly byDigits: Record<string, number>;
}

/** What an account has missed lately. Times in ms. */
export interface Guesser {
  count: number;
  /** When `count` starts again from 0. */
  windowEnd: number;
  /** Every redeem is refused before this. */
  lockedUntil: number;
  /** How often it was locked without a quiet time in between. */
  locks: number;
  /** After a window without a miss since the last window or lock it is as if nothing had been. */
  forgetAt: number;
}

/** One step at the codes. All of it takes effect, or nothing. */
export interface CodesTurn {
  readonly now: number;
  /** For how long misses count, and how long a first lock lasts. */
  readonly windowMs: number;
  /** The code's record, if it lives or rests. */
  code(code: Code): CodeRecord | undefined;
  claimed(record: CodeRecord): void;
  /** A live code's record has changed: it is used, and rests from now on. */
  taken(record: CodeRecord): void;
  /** How many live; how many live or rest. */
  live(): number;
  inUse(): number;
  /** How many of the latter an account has, and when the first of them is free. */
  heldBy(account: string): number;
  firstFree(account: string): number;
  misses(): Misses;
  setMisses(misses: Misses): void;
  /** Not one that is forgotten. */
  guesser(account: string): Guesser | undefined;
  /** How many accounts have a guesser. */
  guessers(): number;
  setGuesser(account: string, guesser: Guesser): void;
}

/** Accounts whose misses are counted apart. Later ones count for everybody together only. */
const maxGuessers = 100_000;

/** The longest lock of guessers of each kind, in windows; 0: they are never locked. */
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

/** Takes a code out, unless the guesser is locked; counts a miss for its accounts and for everybody. */
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

/** In this window and the one before it: no miss within the time of one window is ever left out. */
export function recentMisses(turn: CodesTurn): number {
  const { current, previous } = inThisWindow(turn);
  return current + previous;
}

/** Of all time at codes of this length. */
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

/** As `Codes.guess` of the contract says. A site is never locked: that would refuse neighbours their right codes. */
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
