/** The same draws in every run for the same seed. */
export interface Chance {
  /** A whole number in 0 … `below` - 1. */
  below(below: number): number;
  pick<T>(from: readonly T[]): T;
  /** True once in `n` draws. */
  oneIn(n: number): boolean;
  bytes(count: number): Buffer;
}

/** Mulberry32: small, fast, and good enough to make nonsense of. */
export function chance(seed: number): Chance {
  let state = Math.imul(seed, 0x9e3779b1) >>> 0;
  function next(): number {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }
  const below = (limit: number) => next() % limit;
  return {
    below,
    pick: (from) => {
      const picked = from[below(from.length)];
      if (picked === undefined) throw new Error("There is nothing to pick from");
      return picked;
    },
    oneIn: (n) => below(n) === 0,
    bytes(count) {
      const buffer = Buffer.allocUnsafe(count);
      for (let i = 0; i < count; i++) buffer[i] = next() >>> 24;
      return buffer;
    },
  };
}
