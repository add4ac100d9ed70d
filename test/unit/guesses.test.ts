import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Account } from "../../src/base/account.ts";
import { guessLedger, MissCounts } from "../../src/engine/memory/guesses.ts";

const windowMs = 60_000;
/** As many as the ledger tells apart. */
const maxAccounts = 100_000;

/** A ledger whose time only the test moves. */
function ledger() {
  const time = { now: 1_700_000_000_000 };
  const { lockedFor, missed, sweep, size } = guessLedger(windowMs);
  return {
    time,
    size,
    lockedFor: (who: readonly Account[]) => lockedFor(who, time.now),
    missed: (who: readonly Account[], limit = 3) => missed(who, limit, time.now),
    sweep: () => sweep(time.now),
  };
}

function guesser(key: string): readonly Account[] {
  return [{ key, kind: "client" }];
}

test("who has missed nothing may try, and is not remembered for it", () => {
  const { lockedFor, size } = ledger();
  expect(lockedFor(guesser("a"))).toBe(0);
  expect(size()).toBe(0);
});

test("at its limit a guesser is locked for just one window", () => {
  const { lockedFor, missed, time } = ledger();
  for (let i = 0; i < 3; i++) {
    expect(lockedFor(guesser("a"))).toBe(0);
    missed(guesser("a"));
  }
  expect(lockedFor(guesser("a"))).toBe(windowMs);
  expect(lockedFor(guesser("b"))).toBe(0);
  time.now += windowMs - 1;
  expect(lockedFor(guesser("a"))).toBe(1);
  time.now += 1;
  expect(lockedFor(guesser("a"))).toBe(0);
});

test("each lock of one that goes on is twice as long as the last, up to 64 windows", () => {
  const { lockedFor, missed, time } = ledger();
  const locks: number[] = [];
  for (let round = 0; round < 9; round++) {
    for (let i = 0; i < 3; i++) missed(guesser("a"));
    locks.push(lockedFor(guesser("a")) / windowMs);
    time.now += lockedFor(guesser("a"));
  }
  expect(locks).toEqual([1, 2, 4, 8, 16, 32, 64, 64, 64]);
});

test("what is told is honest: a millisecond before the end the lock holds, at the end it does not", () => {
  const limits = fc.record({ limit: fc.integer({ min: 1, max: 20 }), rounds: fc.nat(8) });
  fc.assert(
    fc.property(limits, ({ limit, rounds }) => {
      const { lockedFor, missed, time } = ledger();
      const me = guesser("a");
      for (let round = 0; round <= rounds; round++) {
        for (let i = 0; i < limit; i++) missed(me, limit);
        const told = lockedFor(me);
        expect(told).toBeGreaterThan(0);
        time.now += told - 1;
        expect(lockedFor(me)).toBe(1);
        time.now += 1;
        expect(lockedFor(me)).toBe(0);
      }
    }),
  );
});

test("one window without a miss after the lock, and all is forgotten", () => {
  const { lockedFor, missed, time } = ledger();
  missed(guesser("a"), 1);
  time.now += 2 * windowMs;
  missed(guesser("a"), 1);
  expect(lockedFor(guesser("a"))).toBe(windowMs);
});

test("misses of one window don't count in the next", () => {
  const { lockedFor, missed, time } = ledger();
  missed(guesser("a"));
  missed(guesser("a"));
  time.now += windowMs;
  missed(guesser("a"));
  missed(guesser("a"));
  expect(lockedFor(guesser("a"))).toBe(0);
  missed(guesser("a"));
  expect(lockedFor(guesser("a"))).toBe(windowMs);
});

test("an attack from a million addresses is remembered in bounded space, and locks no newcomer", () => {
  const { lockedFor, missed, size } = ledger();
  missed(guesser("known"));
  for (let i = 0; i < 1_000_000; i++) missed(guesser(`attacker ${i}`));
  expect(size()).toBe(maxAccounts);
  for (let i = 0; i < 20; i++) {
    expect(lockedFor(guesser("newcomer"))).toBe(0);
    missed(guesser("newcomer"));
  }
  for (let i = 0; i < 2; i++) missed(guesser("known"));
  expect(lockedFor(guesser("known"))).toBe(windowMs);
});

test("a newcomer that is not told apart still counts towards a customer that is", () => {
  const { lockedFor, missed } = ledger();
  const subscriber = (host: string) =>
    [...guesser(host), { key: "customer", kind: "customer" }] as const;
  missed(subscriber("host"));
  for (let i = 0; i < maxAccounts; i++) missed(guesser(`attacker ${i}`));
  for (let i = 0; i < 11; i++) missed(subscriber(`host ${i}`));
  expect(lockedFor(subscriber("newcomer"))).toBe(windowMs);
  expect(lockedFor(guesser("newcomer"))).toBe(0);
});

test("a sweep forgets whom nothing is held against any more, and nobody else", () => {
  const { lockedFor, missed, size, sweep, time } = ledger();
  for (let i = 0; i < 1_000; i++) missed(guesser(`quiet ${i}`));
  for (let i = 0; i < 3; i++) missed(guesser("locked"));
  time.now += windowMs - 1;
  sweep();
  expect(size()).toBe(1_001);
  time.now += 1;
  sweep();
  expect(size()).toBe(1);
  // Its next lock would be longer: that is remembered for another window.
  expect(lockedFor(guesser("locked"))).toBe(0);
  time.now += windowMs - 1;
  sweep();
  expect(size()).toBe(1);
  time.now += 1;
  sweep();
  expect(size()).toBe(0);
});

test("no run of misses and pauses lets a guesser miss more than its limit in a window", () => {
  const pauses = fc.array(fc.nat(2 * windowMs), { maxLength: 200 });
  fc.assert(
    fc.property(pauses, (waits) => {
      const { lockedFor, missed, time } = ledger();
      const me = guesser("a");
      const misses: number[] = [];
      for (const wait of waits) {
        time.now += wait >> 6;
        if (lockedFor(me) > 0) continue;
        missed(me, 5);
        misses.push(time.now);
      }
      // Windows are fixed: two of them may touch.
      for (const [i, at] of misses.entries()) {
        const within = misses.slice(i).filter((later) => later < at + windowMs);
        expect(within.length).toBeLessThan(2 * 5);
      }
    }),
  );
});

test("recent misses never leave out one that a window reaches, and never tell of one older than two", () => {
  const pauses = fc.array(fc.nat(windowMs), { maxLength: 100 });
  fc.assert(
    fc.property(pauses, (waits) => {
      const time = { now: 1_700_000_000_000 };
      const counts = new MissCounts(windowMs);
      const misses: number[] = [];
      for (const wait of waits) {
        time.now += wait >> 3;
        counts.add(4, time.now);
        misses.push(time.now);
        const since = (ms: number) => misses.filter((at) => at > time.now - ms).length;
        expect(counts.recent(time.now)).toBeGreaterThanOrEqual(since(windowMs));
        expect(counts.recent(time.now)).toBeLessThanOrEqual(since(2 * windowMs + 1));
      }
      expect(counts.of(4)).toBe(waits.length);
      expect(counts.of(5)).toBe(0);
    }),
  );
});
