import { expect, test } from "bun:test";
import { calmMisses, codeLengths, serves } from "../../src/rendezvous/code-length.ts";

const usual = codeLengths({ codeDigits: 4, codeDigitsMax: 8, maxCodes: 1_000_000 });

/** The shortest length that serves after so many recent misses, and the misses its codes outlive. */
function after(recentMisses: number, lengths = usual) {
  const length = lengths.find((each) => serves(each, recentMisses));
  const allowance = length?.allowances.find(({ upToRecent }) => recentMisses <= upToRecent);
  return [length?.digits, allowance?.misses];
}

test("at the greatest length only the half counts, and it serves whatever is guessed", () => {
  const lengths = codeLengths({ codeDigits: 4, codeDigitsMax: 4, maxCodes: 1_000_000 });
  expect(lengths).toMatchObject([{ digits: 4, space: 10_000, maxLive: 5_000, maxUsed: 5_000 }]);
  expect(after(0, lengths)).toEqual([4, 250]);
  expect(after(1_000_000, lengths)).toEqual([4, 250]);
});

test("an attack shows past 1 % of the shortest length; then a length serves up to 0.1 % of its codes", () => {
  expect(calmMisses({ codeDigits: 4 })).toBe(100);
  expect(after(100)).toEqual([4, 250]);
  expect(after(101)).toEqual([6, 5_000]);
  expect(after(1_000)).toEqual([6, 5_000]);
  expect(after(1_001)).toEqual([7, 50_000]);
  expect(after(10_001)).toEqual([8, 500_000]);
  expect(after(1_000_000)).toEqual([8, 500_000]);
  expect(after(1_000_001)).toEqual([8, 2_500_000]);
});

test("however long codes may be, a guess takes one with 1 in 20 at most, and with 1 in 100 while a longest code is left room", () => {
  for (const codeDigits of [4, 5, 6, 7, 8]) {
    for (let codeDigitsMax = codeDigits; codeDigitsMax <= 8; codeDigitsMax++) {
      const lengths = codeLengths({ codeDigits, codeDigitsMax, maxCodes: 1_000_000 });
      for (let misses = 1; misses <= 10 ** 9; misses *= 10) {
        const [digits = 0, allowed = Number.NaN] = after(misses, lengths);
        // Half of a length may be in use and known to the guesser.
        const chance = allowed / (10 ** digits / 2);
        const hasRoom = misses <= 10 ** codeDigitsMax / 100;
        const shows = misses > calmMisses({ codeDigits });
        expect(chance).toBeLessThanOrEqual(shows && hasRoom ? 1 / 100 : 1 / 20);
      }
    }
  }
});
