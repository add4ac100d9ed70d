/** Stops a timer; calling it twice is harmless. */
export type Cancel = () => void;

/**
 * The only door to time and chance, so that tests can stand in for both.
 */
export interface Clock {
  /** Wall clock, ms since the Unix epoch. May jump when the machine's clock is set. */
  now(): number;
  /** ms since some moment in the past; never jumps. For measuring how long things take. */
  ticks(): number;
  /** Calls `run` once, `ms` from now. Does not keep the process alive. */
  after(ms: number, run: () => void): Cancel;
  /** Calls `run` every `ms`. Does not keep the process alive. */
  every(ms: number, run: () => void): Cancel;
}

/** A whole number in 0 … `below` - 1, every one equally likely. `below` is at most 2³². */
export type Random = (below: number) => number;

export const systemClock: Clock = {
  now: () => Date.now(),
  ticks: () => performance.now(),
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
 * Wall clock that is never set back: it follows a jump forward, and passes over one back, so that
 * nothing lasts longer for it. After one it is ahead of `clock.now` until the process ends.
 */
export function unturnedNow(clock: Pick<Clock, "now" | "ticks">): () => number {
  let offset = Number.NEGATIVE_INFINITY;
  return () => {
    const ticks = clock.ticks();
    offset = Math.max(offset, clock.now() - ticks);
    return Math.floor(ticks + offset);
  };
}

const pool = new Uint32Array(256);
let drawn = pool.length;

/** Cryptographic and without modulo bias: draws past the last whole multiple of `below` are thrown away. */
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
