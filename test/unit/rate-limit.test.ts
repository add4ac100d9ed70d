import { expect, test } from "bun:test";
import {
  fixedWindow,
  type RateLimiter,
  setRateLimitHeaders,
} from "../../src/admission/rate-limit.ts";
import type { Account } from "../../src/base/account.ts";

/** A limiter asked by clients of these names, one account each. */
function limiter(options: Partial<Parameters<typeof fixedWindow>[0]>) {
  const time = { monotonicMs: 1_000_000 };
  const limit = fixedWindow({
    perWindow: 2,
    maxKeys: 100,
    monotonicMs: () => time.monotonicMs,
    ...options,
  });
  return { time, ...limit, take: (key: string) => limit.take([{ key, kind: "client" }]) };
}

/** A client of a site: an IPv6 /64 and its /48. */
function ofSite(key: string): readonly Account[] {
  return [
    { key, kind: "client" },
    { key: "site", kind: "site" },
  ];
}

test("a key passes as often as allowed and is then told when the window ends", () => {
  const { take, time } = limiter({ perWindow: 2 });
  const limit = 2;
  expect(take("a")).toEqual({ ok: true, remaining: 1, retryAfterMs: 60_000, limit });
  time.monotonicMs += 10_000;
  expect(take("a")).toEqual({ ok: true, remaining: 0, retryAfterMs: 50_000, limit });
  expect(take("a")).toEqual({ ok: false, remaining: 0, retryAfterMs: 50_000, limit });
  time.monotonicMs += 49_999;
  expect(take("a")).toEqual({ ok: false, remaining: 0, retryAfterMs: 1, limit });
  time.monotonicMs += 1;
  expect(take("a")).toEqual({ ok: true, remaining: 1, retryAfterMs: 60_000, limit });
});

test("keys don't count against each other", () => {
  const { take } = limiter({ perWindow: 1 });
  expect(take("a").ok).toBe(true);
  expect(take("b").ok).toBe(true);
  expect(take("a").ok).toBe(false);
});

test("0 lets everything pass and remembers nothing", () => {
  const { take, size } = limiter({ perWindow: 0 });
  for (let i = 0; i < 1000; i++) expect(take("a").ok).toBe(true);
  expect(size()).toBe(0);
});

test("a site passes 16 times as often as a client, however many clients it has", () => {
  const { take } = fixedWindow({ perWindow: 2, maxKeys: 1_000, monotonicMs: () => 0 });
  const passed = Array.from({ length: 100 }, (_, i) => take(ofSite(`client ${i}`)).ok);
  expect(passed.filter(Boolean)).toHaveLength(32);
  expect(take(ofSite("client 0"))).toMatchObject({ ok: false, limit: 32 });
});

test("a client of a site has its own limit first, and what it is refused costs the site nothing", () => {
  const { take } = fixedWindow({ perWindow: 2, maxKeys: 1_000, monotonicMs: () => 0 });
  for (let i = 0; i < 100; i++) expect(take(ofSite("greedy")).ok).toBe(i < 2);
  const others = Array.from({ length: 20 }, (_, i) => take(ofSite(`client ${i}`)).ok);
  expect(others).not.toContain(false);
});

test("everybody behind one untrusted proxy has the limit of a site", () => {
  const { take } = fixedWindow({ perWindow: 2, maxKeys: 1_000, monotonicMs: () => 0 });
  const shared = [{ key: "10.0.0.1", kind: "shared" }] as const;
  const passed = Array.from({ length: 100 }, () => take(shared).ok);
  expect(passed.filter(Boolean)).toHaveLength(32);
});

test("a passage given back can be had again", () => {
  const { take, giveBack } = fixedWindow({ perWindow: 1, maxKeys: 100, monotonicMs: () => 0 });
  for (let i = 0; i < 100; i++) {
    expect(take(ofSite("a")).ok).toBe(true);
    giveBack(ofSite("a"));
  }
  expect(take(ofSite("a")).ok).toBe(true);
  expect(take(ofSite("a")).ok).toBe(false);
});

test("what is given back after its window has passed adds nothing to the next", () => {
  const time = { monotonicMs: 0 };
  const limit = fixedWindow({ perWindow: 1, maxKeys: 100, monotonicMs: () => time.monotonicMs });
  limit.take(ofSite("a"));
  time.monotonicMs += 60_000;
  limit.take(ofSite("b"));
  limit.giveBack(ofSite("a"));
  expect(limit.take(ofSite("a")).ok).toBe(true);
  expect(limit.take(ofSite("a")).ok).toBe(false);
});

test("past the greatest number of keys no newcomer is refused; the attempts are counted", () => {
  const { take, size, uncounted } = limiter({ perWindow: 2, maxKeys: 2 });
  take("a");
  take("b");
  for (let i = 0; i < 100; i++) expect(take(`newcomer ${i % 10}`).ok).toBe(true);
  expect(uncounted()).toBe(100);
  // Those that are counted still are.
  expect([take("a").ok, take("a").ok]).toEqual([true, false]);
  expect(size()).toBe(2);
});

test("a new window forgets the keys of the old one", () => {
  const { take, size, time } = limiter({ maxKeys: 1000 });
  for (let i = 0; i < 500; i++) take(`key ${i}`);
  expect(size()).toBe(500);
  time.monotonicMs += 60_000;
  take("a");
  expect(size()).toBe(1);
});

/** The headers of an answer to the client's next attempt. */
function toldBy(limit: RateLimiter, accounts: readonly Account[] = [{ key: "a", kind: "client" }]) {
  const headers = new Headers();
  setRateLimitHeaders(headers, limit.take(accounts));
  return Object.fromEntries(headers);
}

test("the headers say how much a client may still ask, and when it may ask again", () => {
  const limit = fixedWindow({ perWindow: 2, maxKeys: 100, monotonicMs: () => 0 });
  const policy = { "ratelimit-policy": '"minute";q=2;w=60' };
  expect(toldBy(limit)).toEqual({ ...policy, ratelimit: '"minute";r=1;t=60' });
  expect(toldBy(limit)).toEqual({ ...policy, ratelimit: '"minute";r=0;t=60' });
  expect(toldBy(limit)).toEqual({ ...policy, ratelimit: '"minute";r=0;t=60' });
});

test("the headers tell the limit that is nearer, the client's or its site's", () => {
  const limit = fixedWindow({ perWindow: 2, maxKeys: 100, monotonicMs: () => 0 });
  for (let i = 0; i < 31; i++) limit.take(ofSite(`client ${i}`));
  expect(toldBy(limit, ofSite("new"))).toEqual({
    "ratelimit-policy": '"minute";q=32;w=60',
    ratelimit: '"minute";r=0;t=60',
  });
});

test("without a limit there are no headers", () => {
  const limit = fixedWindow({ perWindow: 0, maxKeys: 100, monotonicMs: () => 0 });
  expect(toldBy(limit)).toEqual({});
});

test("a million keys in one window cost no more memory than the greatest number", () => {
  const { take, size } = limiter({ perWindow: 1_000_000, maxKeys: 1_000 });
  for (let i = 0; i < 1_000_000; i++) take(`key ${i}`);
  expect(size()).toBe(1_000);
});
