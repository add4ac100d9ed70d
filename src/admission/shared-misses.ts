import type { Clock } from "../base/clock.ts";

/** How long a miss of a shared client waits for its answer … */
const answerAfterMs = 1_000;
/** … and how many may wait at a time. */
const maxWaiting = 20;

export interface SharedMisses {
  /** Resolves when the miss may be answered. Undefined when too many wait: refuse it at once. */
  wait(): Promise<void> | undefined;
  /** How long a refused one should stay away, ms. */
  readonly retryAfterMs: number;
}

/**
 * Misses of clients that are everybody behind one address. They cannot be locked without locking
 * out the others, and a right code is never refused: so misses are only made slow to learn of, and
 * their codes are longer. It bounds nothing: that takes a trusted proxy.
 */
export function sharedMisses(clock: Clock): SharedMisses {
  let waiting = 0;
  return {
    retryAfterMs: answerAfterMs,
    wait() {
      if (waiting >= maxWaiting) return undefined;
      waiting++;
      return new Promise((resolve) => {
        clock.after(answerAfterMs, () => {
          waiting--;
          resolve();
        });
      });
    },
  };
}
