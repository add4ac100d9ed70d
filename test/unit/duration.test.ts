import { expect, test } from "bun:test";
import { assert, integer, property } from "fast-check";
import { formatDuration, parseDuration } from "../../src/base/duration.ts";

test.each([
  ["0", 0],
  ["0s", 0],
  ["10m", 600_000],
  ["1h30m", 5_400_000],
  ["500ms", 500],
  ["1.5s", 1_500],
  [".5s", 500],
  ["1.s", 1_000],
  ["2h0m0.5s", 7_200_500],
  ["1s1h", 3_601_000],
  ["250us", 0.25],
  ["250\u00b5s", 0.25],
  ["250\u03bcs", 0.25],
  ["1ns", 0.000_001],
  ["0.1s0.2s", 300],
  ["+20s", 20_000],
  ["-20s", -20_000],
] as const)("%s is a duration of %d ms", (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});

test.each([
  "",
  " ",
  "10",
  "m",
  "10 m",
  "10M",
  "1.2.3s",
  ".s",
  "1,5s",
  "1d",
  "--1s",
  "1s-1s",
  "1e3s",
])("%p is no duration", (text) => {
  expect(parseDuration(text)).toBeUndefined();
});

test("a long run of digits is refused in no time", () => {
  expect(parseDuration("9".repeat(100_000))).toBeUndefined();
});

test.each([
  [0, "0s"],
  [500, "500ms"],
  [1_500, "1.5s"],
  [20_000, "20s"],
  [600_000, "10m"],
  [5_400_000, "1h30m"],
  [7_200_500, "2h0.5s"],
  [604_800_000, "168h"],
] as const)("%d ms are written %s", (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});

test("what is written reads back as the same number", () => {
  assert(
    property(integer({ min: 0, max: 1_000_000_000_000 }), (ms) => {
      expect(parseDuration(formatDuration(ms))).toBe(ms);
    }),
  );
});
