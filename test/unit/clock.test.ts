import { describe, expect, test } from "bun:test";
import { cryptoRandom, steadyNow } from "../../src/base/clock.ts";

describe("chance", () => {
  test.each([1, 2, 3, 10, 10_000, 2 ** 31, 2 ** 32])("below %p stays in range", (below) => {
    for (let draw = 0; draw < 1_000; draw++) {
      const value = cryptoRandom(below);
      expect(Number.isInteger(value) && value >= 0 && value < below).toBe(true);
    }
  });

  test("every value comes up", () => {
    const seen = new Set(Array.from({ length: 2_000 }, () => cryptoRandom(10)));
    expect(seen.size).toBe(10);
  });

  test("no value is likelier than another (chi-squared, 99 degrees of freedom)", () => {
    const draws = 100_000;
    const counts = new Array<number>(100).fill(0);
    for (let draw = 0; draw < draws; draw++) {
      const value = cryptoRandom(100);
      counts[value] = (counts[value] ?? 0) + 1;
    }
    const expected = draws / counts.length;
    const chiSquared = counts.reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0);
    // Beyond this once in 10¹² runs.
    expect(chiSquared).toBeLessThan(230);
  });

  test("where a plain remainder would favour the low third two to one, nothing is favoured", () => {
    const below = 3 * 2 ** 30;
    const draws = 20_000;
    let low = 0;
    for (let draw = 0; draw < draws; draw++) if (cryptoRandom(below) < below / 3) low++;
    // A third, where the remainder would give a half; off by nine standard deviations at most.
    expect(Math.abs(low / draws - 1 / 3)).toBeLessThan(0.03);
  });
});

describe("steady time", () => {
  function set() {
    const clock = { wall: 1_700_000_000_000, monotonicMs: 5.25 };
    const now = steadyNow({ now: () => clock.wall, monotonicMs: () => clock.monotonicMs });
    const pass = (ms: number) => {
      clock.wall += ms;
      clock.monotonicMs += ms;
    };
    return { clock, now, pass };
  }

  test("is the wall clock's, in whole ms", () => {
    const { clock, now, pass } = set();
    for (let i = 0; i < 100; i++) {
      expect(now()).toBe(clock.wall);
      pass(i);
    }
  });

  test("goes on from where it was when the wall clock is set back", () => {
    const { clock, now, pass } = set();
    const before = now();
    clock.wall -= 3_600_000;
    expect(now()).toBe(before);
    pass(1_000);
    expect(now()).toBe(before + 1_000);
  });

  test("follows when the wall clock is set forward, and once it has caught up", () => {
    const { clock, now, pass } = set();
    clock.wall += 3_600_000;
    expect(now()).toBe(clock.wall);
    clock.wall -= 60_000;
    expect(now()).toBe(clock.wall + 60_000);
    clock.wall += 61_000;
    pass(5);
    expect(now()).toBe(clock.wall);
  });
});
