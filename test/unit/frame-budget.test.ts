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
    while (taken < most && bucket.take()) taken++;
    return taken;
  };
  return { bucket, clock, takeAll };
}

test("a burst of two seconds' worth passes at once, and not one more", () => {
  const { takeAll } = budget(1_000);
  expect(takeAll()).toBe(2_000);
  expect(takeAll()).toBe(0);
});

test("what was spent comes back at the rate", () => {
  const { clock, takeAll } = budget(1_000);
  takeAll();
  clock.advance(250);
  expect(takeAll()).toBe(250);
  clock.advance(1);
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
    expect(bucket.take()).toBe(false);
  }
  clock.advance(101);
  expect(bucket.take()).toBe(true);
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
      expect(bucket.take()).toBe(true);
    }),
  );
});

test("a fast connection waits for a twentieth of a second's worth: no timer for each frame", () => {
  const { bucket, clock, takeAll } = budget(1_000);
  takeAll();
  expect(bucket.waitMs()).toBe(50);
  clock.advance(50);
  expect(takeAll()).toBe(50);
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
        const allowed = perSec * (2 + clock.ticks() / 1_000);
        expect(taken).toBeLessThanOrEqual(allowed + 1e-6);
      }
    }),
  );
});
