import { expect, test } from "bun:test";
import { codeLengths } from "../../src/rendezvous/code-length.ts";

const usual = codeLengths({ minDigits: 4, maxDigits: 8, maxCodes: 1_000_000 });

test("lengths are tried from the shortest to the longest", () => {
  expect(usual.map(({ digits }) => digits)).toEqual([4, 5, 6, 7, 8]);
  expect(usual.map(({ space }) => space)).toEqual([1e4, 1e5, 1e6, 1e7, 1e8]);
});

test("a length serves while at most 1 % of its codes are live", () => {
  expect(usual.slice(0, -1).map(({ maxLive }) => maxLive)).toEqual([100, 1_000, 10_000, 100_000]);
});

test("a length serves while at most half of its codes are live or resting", () => {
  expect(usual.slice(0, 3).map(({ maxUsed }) => maxUsed)).toEqual([5_000, 50_000, 500_000]);
});

test("no length goes past the bound over all codes", () => {
  expect(usual.slice(3).map(({ maxUsed }) => maxUsed)).toEqual([1_000_000, 1_000_000]);
});

test("at the greatest length only the half counts", () => {
  expect(codeLengths({ minDigits: 4, maxDigits: 4, maxCodes: 1_000_000 })).toEqual([
    { digits: 4, space: 10_000, maxLive: 5_000, maxUsed: 5_000 },
  ]);
});
