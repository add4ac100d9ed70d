import type { Guesser } from "../engine.ts";

/** What a guesser has missed lately. Times in ms. */
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

export interface GuessLedger {
  /** ms until the guesser may try again; 0: now. */
  lockedFor(guesser: Guesser): number;
  missed(guesser: Guesser): void;
  sweep(): void;
  size(): number;
}

/** Guessers told apart; when there are so many, newcomers share one record. */
const maxGuessers = 100_000;
const sharedKey = "";
/** A lock is at most this many windows long. */
const maxLockWindows = 64;

/**
 * Failed redeems by client. Who misses its limit within a window is locked: first for one window,
 * then for two, four, … if it goes on right after the lock.
 */
export function guessLedger(now: () => number): GuessLedger {
  const guessers = new Map<string, Misses>();

  function keyFor(key: string): string {
    return guessers.has(key) || guessers.size < maxGuessers ? key : sharedKey;
  }

  return {
    lockedFor({ keys }) {
      const at = now();
      let longest = 0;
      for (const { key } of keys) {
        const until = guessers.get(keyFor(key))?.lockedUntil ?? 0;
        longest = Math.max(longest, until - at);
      }
      return longest;
    },
    missed({ keys, windowMs }) {
      const at = now();
      const counted = new Set<string>();
      for (const { key, limit } of keys) {
        const name = keyFor(key);
        // Two keys of one guesser that share a record are one miss in it.
        if (counted.has(name)) continue;
        counted.add(name);
        const known = guessers.get(name);
        const misses = known !== undefined && at < known.forgetAt ? known : newMisses();
        count(misses, limit, windowMs, at);
        guessers.set(name, misses);
      }
    },
    sweep() {
      const at = now();
      for (const [key, { forgetAt }] of guessers) if (at >= forgetAt) guessers.delete(key);
    },
    size: () => guessers.size,
  };
}

function newMisses(): Misses {
  return { count: 0, windowEnd: 0, lockedUntil: 0, locks: 0, forgetAt: 0 };
}

function count(misses: Misses, limit: number, windowMs: number, at: number): void {
  if (at >= misses.windowEnd) {
    misses.count = 0;
    misses.windowEnd = at + windowMs;
  }
  misses.count++;
  if (misses.count >= limit) {
    misses.lockedUntil = at + Math.min(2 ** misses.locks, maxLockWindows) * windowMs;
    misses.windowEnd = misses.lockedUntil;
    misses.locks++;
  }
  const quietMs = misses.locks > 0 ? windowMs : 0;
  misses.forgetAt = Math.max(misses.forgetAt, misses.windowEnd + quietMs);
}
