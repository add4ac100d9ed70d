import { expect, test } from "bun:test";
import fc from "fast-check";
import { FrameBudget } from "../../src/signaling/frame-budget.ts";
import { fakeClock } from "../support/clock.ts";

function budget(perSec: number) {
  const clock = fakeClock();
  const bucket = new FrameBudget(perSec, clock);
  /** How many can be taken right now, of no more than `most`. */
  const takeAll = (most = 100_000) => {
    let taken = 0;
    while (taken < most && bucket.take(100)) taken++;
    return taken;
  };
  return { bucket, clock, takeAll };
}

test("a blow of a tenth of a second's worth passes at once, and not one more", () => {
  const { takeAll } = budget(10_000);
  expect(takeAll()).toBe(1_000);
  expect(takeAll()).toBe(0);
});

test("a blow may be of 200 at least, if a burst is as many", () => {
  expect(budget(1_000).takeAll()).toBe(200);
  expect(budget(100).takeAll()).toBe(200);
  expect(budget(10).takeAll()).toBe(20);
});

test("a burst of two seconds' worth passes at ten times the rate", () => {
  const { clock, takeAll } = budget(1_000);
  let passed = takeAll();
  for (let ms = 1; ms <= 180; ms++) {
    clock.advance(1);
    const now = takeAll();
    expect(now).toBe(10);
    passed += now;
  }
  expect(passed).toBe(2_000);
  // And what came back meanwhile is all that is left.
  clock.advance(19);
  expect(takeAll()).toBeWithin(180, 200);
});

test("what was spent comes back at the rate", () => {
  const { clock, takeAll } = budget(50);
  takeAll();
  clock.advance(1_000);
  expect(takeAll()).toBe(50);
  clock.advance(20);
  expect(takeAll()).toBe(1);
});

test("however long it is silent, a connection saves up no more than the burst", () => {
  const { clock, takeAll } = budget(10);
  clock.advance(86_400_000);
  expect(takeAll()).toBe(20);
});

test("parts of a token add up: one frame a second in steps of 100 ms", () => {
  const { bucket, clock, takeAll } = budget(1);
  takeAll();
  for (let step = 0; step < 9; step++) {
    clock.advance(100);
    expect(bucket.take(100)).toBe(false);
  }
  clock.advance(101);
  expect(bucket.take(100)).toBe(true);
});

test("0 is no limit", () => {
  const { clock, takeAll } = budget(0);
  expect(takeAll()).toBe(100_000);
  clock.advance(1);
  expect(takeAll()).toBe(100_000);
});

test("after waitMs there is a token, for every rate", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1_000_000_000 }), fc.nat(3_000), (perSec, early) => {
      const { bucket, clock, takeAll } = budget(perSec);
      takeAll(3_000);
      clock.advance(early);
      takeAll(3_000);
      clock.advance(Math.max(0, bucket.waitMs()));
      expect(bucket.take(100)).toBe(true);
    }),
  );
});

// A sum of fractions misses the whole by a little: about once in 200,000 waits.
test("after waitMs there is a token, whatever fractions were added up: half a million draws", () => {
  const clock = { monotonicMs: () => time };
  let time = 0;
  let refused = 0;
  let seed = 1;
  /** A linear congruential generator: the same draws each time. */
  const draw = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return seed % below;
  };
  for (let run = 0; run < 1_000; run++) {
    const bucket = new FrameBudget(1 + draw(20) + draw(2) * draw(1_000_000), clock);
    for (let i = 0; i < 500; i++) {
      while (bucket.take(draw(10_000)));
      time += bucket.waitMs() + draw(2) * (draw(1_000) / 997);
      if (!bucket.take(100)) refused++;
    }
  }
  expect(refused).toBe(0);
});

test.each([
  [0, 1],
  [511, 1],
  [512, 2],
  [4_096, 9],
  [16_384, 33],
  [16_385, 1],
  [1_048_576, 1],
])("a frame of %p characters costs %p tokens", (length, cost) => {
  const { bucket, takeAll } = budget(50);
  expect(bucket.take(length)).toBe(true);
  expect(takeAll()).toBe(100 - cost);
});

test("a frame that costs more than there is passes, and what it owes is waited for", () => {
  const { bucket, clock, takeAll } = budget(10);
  takeAll(19);
  expect(bucket.take(16_384)).toBe(true);
  expect(bucket.take(1)).toBe(false);
  expect(bucket.waitMs()).toBe(3_300);
  clock.advance(3_300);
  expect(takeAll()).toBe(1);
});

test("a fast connection waits for a twentieth of a second's worth: no timer for each frame", () => {
  const { bucket, clock, takeAll } = budget(50);
  takeAll();
  expect(bucket.waitMs()).toBe(50);
  const fast = budget(1_000);
  for (let ms = 0; ms < 300; ms += 10) {
    fast.takeAll();
    fast.clock.advance(10);
  }
  fast.takeAll();
  expect(fast.bucket.waitMs()).toBeWithin(40, 51);
  clock.advance(100);
  expect(takeAll()).toBe(5);
});

test("after a blow a connection waits for half of the next", () => {
  const { bucket, clock, takeAll } = budget(1_000);
  takeAll();
  expect(bucket.waitMs()).toBe(10);
  clock.advance(10);
  expect(takeAll()).toBe(100);
});

test("over any span no more pass than the burst and the rate allow", () => {
  const steps = fc.array(fc.tuple(fc.nat(2_000), fc.nat(60)), { maxLength: 60 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 50 }), steps, (perSec, spans) => {
      const { clock, takeAll } = budget(perSec);
      let taken = 0;
      for (const [ms, wanted] of spans) {
        clock.advance(ms);
        taken += takeAll(wanted);
        const allowed = perSec * (2 + clock.monotonicMs() / 1_000);
        expect(taken).toBeLessThanOrEqual(allowed + 1e-3);
      }
    }),
  );
});
