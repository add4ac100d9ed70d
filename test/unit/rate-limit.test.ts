import { expect, test } from "bun:test";
import { fixedWindow } from "../../src/admission/rate-limit.ts";

const client = (key: string) => [{ key, kind: "client" }] as const;

test("past the greatest number of keys no newcomer is refused; the attempts are counted", () => {
  const time = { monotonicMs: 0 };
  const monotonicMs = () => time.monotonicMs;
  const { take, size, uncounted } = fixedWindow({ perWindow: 2, maxKeys: 2, monotonicMs });
  for (const key of ["a", "b"]) take(client(key));
  for (let i = 0; i < 1_000; i++) expect(take(client(`newcomer ${i % 300}`)).ok).toBe(true);
  expect([size(), uncounted()]).toEqual([2, 1_000]);
  // Those that are counted still are.
  expect([take(client("a")).ok, take(client("a")).ok]).toEqual([true, false]);
  time.monotonicMs += 60_000;
  take(client("c"));
  expect(size()).toBe(1);
});

test("what is given back can be taken again, but not in the next window", () => {
  const time = { monotonicMs: 0 };
  const monotonicMs = () => time.monotonicMs;
  const { take, giveBack } = fixedWindow({ perWindow: 1, maxKeys: 100, monotonicMs });
  for (let i = 0; i < 10; i++) {
    expect(take(client("a")).ok).toBe(true);
    giveBack(client("a"));
  }
  expect([take(client("a")).ok, take(client("a")).ok]).toEqual([true, false]);
  time.monotonicMs += 60_000;
  take(client("b"));
  giveBack(client("a"));
  expect([take(client("a")).ok, take(client("a")).ok]).toEqual([true, false]);
});
