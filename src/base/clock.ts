/** Stops a timer; calling it twice is harmless. */
export type Cancel = () => void;

/** All time comes from here and all chance from a `Random`, so that tests can replace both. */
export interface Clock {
  /** Wall clock, ms since the Unix epoch. May jump when the machine's clock is set. */
  now(): number;
  /** ms since some moment in the past; never jumps. For measuring how long things take. */
  monotonicMs(): number;
  /** Calls `run` once, `ms` from now. Does not keep the process alive. */
  after(ms: number, run: () => void): Cancel;
  /** Calls `run` every `ms`. Does not keep the process alive. */
  every(ms: number, run: () => void): Cancel;
}

/** A whole number in 0 … `below` - 1, every one equally likely. `below` is at most 2³². */
export type Random = (below: number) => number;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
  every(ms, run) {
    const timer = setInterval(run, ms);
    timer.unref();
    return () => clearInterval(timer);
  },
};

/**
 * The wall clock in whole ms, which never goes back: if the machine's clock is set forward it follows,
 * if it is set back it continues from where it was. So a deadline is never postponed.
 */
export function steadyNow({ now, monotonicMs }: Pick<Clock, "now" | "monotonicMs">): () => number {
  let ahead = Number.NEGATIVE_INFINITY;
  return () => {
    const at = monotonicMs();
    ahead = Math.max(ahead, now() - at);
    return Math.round(ahead + at);
  };
}

/** UTC, to the millisecond. `ms` since the Unix epoch. */
export function rfc3339(ms: number): string {
  return new Date(ms).toISOString();
}

const pool = new Uint32Array(256);
let drawn = pool.length;

/** Cryptographic and without modulo bias: draws past the last whole multiple of `below` are discarded. */
export const cryptoRandom: Random = (below) => {
  const limit = 2 ** 32 - (2 ** 32 % below);
  for (;;) {
    if (drawn === pool.length) {
      crypto.getRandomValues(pool);
      drawn = 0;
    }
    const value = pool[drawn++] as number;
    if (value < limit) return value % below;
  }
};
