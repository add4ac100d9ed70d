import { expect, test } from "bun:test";
import {
  type FixedWindowOptions,
  fixedWindow,
  type RateLimiter,
  tellLimit,
} from "../../src/admission/rate-limit.ts";

function limiter(options: Partial<FixedWindowOptions>) {
  const time = { now: 1_000_000 };
  const make = { perMin: 2, maxKeys: 100, now: () => time.now, ...options };
  return { time, ...fixedWindow(make) };
}

test("a key passes as often as allowed and is then told when the window ends", () => {
  const { take, time } = limiter({ perMin: 2 });
  expect(take("a")).toEqual({ ok: true, remaining: 1, retryAfterMs: 60_000 });
  time.now += 10_000;
  expect(take("a")).toEqual({ ok: true, remaining: 0, retryAfterMs: 50_000 });
  expect(take("a")).toEqual({ ok: false, remaining: 0, retryAfterMs: 50_000 });
  time.now += 49_999;
  expect(take("a")).toEqual({ ok: false, remaining: 0, retryAfterMs: 1 });
  time.now += 1;
  expect(take("a")).toEqual({ ok: true, remaining: 1, retryAfterMs: 60_000 });
});

test("keys don't count against each other", () => {
  const { take } = limiter({ perMin: 1 });
  expect(take("a").ok).toBe(true);
  expect(take("b").ok).toBe(true);
  expect(take("a").ok).toBe(false);
});

test("0 lets everything pass and remembers nothing", () => {
  const { take, size } = limiter({ perMin: 0 });
  for (let i = 0; i < 1000; i++) expect(take("a").ok).toBe(true);
  expect(size()).toBe(0);
});

test("past the greatest number of keys, newcomers share one count", () => {
  const { take, size } = limiter({ perMin: 2, maxKeys: 2 });
  take("a");
  take("b");
  expect([take("c").ok, take("d").ok, take("e").ok, take("c").ok]).toEqual([
    true,
    true,
    false,
    false,
  ]);
  expect(take("a").ok).toBe(true);
  expect(size()).toBe(2);
});

test("a new window forgets the keys of the old one", () => {
  const { take, size, time } = limiter({ maxKeys: 1000 });
  for (let i = 0; i < 500; i++) take(`key ${i}`);
  expect(size()).toBe(500);
  time.now += 60_000;
  take("a");
  expect(size()).toBe(1);
});

test("a clock set back does not lengthen a window", () => {
  const { take, time } = limiter({ perMin: 1 });
  take("a");
  time.now -= 3_600_000;
  expect(take("a")).toMatchObject({ ok: true, retryAfterMs: 60_000 });
  expect(take("a")).toMatchObject({ ok: false, retryAfterMs: 60_000 });
});

/** The headers of an answer to the client's next attempt. */
function toldBy(limit: RateLimiter) {
  const headers = new Headers();
  tellLimit(headers, limit, limit.take("a"));
  return Object.fromEntries(headers);
}

test("the headers say how much a client may still ask, and when it may ask again", () => {
  const limit = fixedWindow({ perMin: 2, maxKeys: 100, now: () => 0 });
  const policy = { "ratelimit-policy": '"minute";q=2;w=60' };
  expect(toldBy(limit)).toEqual({ ...policy, ratelimit: '"minute";r=1;t=60' });
  expect(toldBy(limit)).toEqual({ ...policy, ratelimit: '"minute";r=0;t=60' });
  expect(toldBy(limit)).toEqual({ ...policy, ratelimit: '"minute";r=0;t=60' });
});

test("without a limit there are no headers", () => {
  const limit = fixedWindow({ perMin: 0, maxKeys: 100, now: () => 0 });
  expect(toldBy(limit)).toEqual({});
});

test("a million keys in one window cost no more memory than the greatest number", () => {
  const { take, size } = limiter({ perMin: 1_000_000, maxKeys: 1_000 });
  for (let i = 0; i < 1_000_000; i++) take(`key ${i}`);
  expect(size()).toBe(1_000);
});
