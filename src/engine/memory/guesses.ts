import { type Account, limitOf } from "../../base/account.ts";
import { longestLocks } from "../engine.ts";

/** What an account has missed lately. Times in ms. */
interface Misses {
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

/** Accounts whose misses are counted apart. Later ones count for everybody together only. */
const maxAccounts = 100_000;
/**
 * Failed redeems by account. A client with as many as its limit within a window is locked: first for
 * one window, then for two, four, … if it goes on right after the lock. A customer's lock, and that of
 * shared clients, is always one window long. A site has none, as that would hold neighbours out of
 * right codes: past its limit each of its customers may only miss as often as one client.
 */
export function guessLedger(windowMs: number) {
  const known = new Map<string, Misses>();

  function missesOf(key: string, at: number): Misses | undefined {
    const misses = known.get(key);
    if (misses !== undefined && at < misses.forgetAt) return misses;
    if (misses === undefined && known.size >= maxAccounts) return undefined;
    const fresh = { count: 0, windowEnd: 0, lockedUntil: 0, locks: 0, forgetAt: 0 };
    known.set(key, fresh);
    return fresh;
  }

  return {
    /** ms until one with these accounts may try again; 0: now. Every `at` is the present, ms. */
    lockedFor(accounts: readonly Account[], at: number): number {
      let longest = 0;
      for (const { key } of accounts) {
        longest = Math.max(longest, (known.get(key)?.lockedUntil ?? 0) - at);
      }
      return longest;
    },
    /** Counts a miss; `maxMisses` is how many one client may have. */
    missed(accounts: readonly Account[], maxMisses: number, at: number): void {
      let siteIsFull = false;
      for (const account of accounts.toReversed()) {
        const misses = missesOf(account.key, at);
        if (misses === undefined) continue;
        const limit: number = siteIsFull ? maxMisses : limitOf(account, maxMisses);
        const longestLock: number = longestLocks[account.kind];
        count(misses, limit, longestLock, windowMs, at);
        if (longestLock === 0) siteIsFull = misses.count >= limit;
      }
    },
    sweep(at: number): void {
      for (const [key, { forgetAt }] of known) if (at >= forgetAt) known.delete(key);
    },
    size: (): number => known.size,
  };
}

function count(
  misses: Misses,
  limit: number,
  longestLock: number,
  windowMs: number,
  at: number,
): void {
  if (at >= misses.windowEnd) {
    misses.count = 0;
    misses.windowEnd = at + windowMs;
  }
  misses.count++;
  if (misses.count >= limit && longestLock > 0) {
    misses.lockedUntil = at + Math.min(2 ** misses.locks, longestLock) * windowMs;
    misses.windowEnd = misses.lockedUntil;
    misses.locks++;
  }
  const quietMs = misses.locks > 0 ? windowMs : 0;
  misses.forgetAt = Math.max(misses.forgetAt, misses.windowEnd + quietMs);
}

/** Misses of everybody together. Every `at` is the present, ms. */
export class MissCounts {
  /** Since the first start, by the number of digits. */
  private byDigits: number[] = [];
  private window = 0;
  private current = 0;
  private previous = 0;

  constructor(private readonly windowMs: number) {}

  add(digits: number, at: number): void {
    this.turnWindow(at);
    this.current++;
    this.byDigits[digits] = this.of(digits) + 1;
  }

  /** Of all time at codes of this length. */
  of(digits: number): number {
    return this.byDigits[digits] ?? 0;
  }

  /** In this window and the one before it: no miss within the time of one window is ever left out. */
  recent(at: number): number {
    this.turnWindow(at);
    return this.current + this.previous;
  }

  /** The counts of all time, from no digits on. */
  save(): readonly number[] {
    return Array.from(this.byDigits, (misses = 0) => misses);
  }

  restore(byDigits: readonly number[]): void {
    this.byDigits = [...byDigits];
  }

  private turnWindow(at: number): void {
    const window = Math.floor(at / this.windowMs);
    if (window === this.window) return;
    this.previous = window === this.window + 1 ? this.current : 0;
    this.current = 0;
    this.window = window;
  }
}
