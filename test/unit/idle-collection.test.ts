import { expect, test } from "bun:test";
import { collectWhenIdle } from "../../src/server/idle-collection.ts";
import { fakeClock } from "../support/clock.ts";

function setUp() {
  const clock = fakeClock();
  const state = { work: 0, collections: 0 };
  const stop = collectWhenIdle({
    clock,
    work: () => state.work,
    keptMs: 600_000,
    collect: () => state.collections++,
  });
  return {
    clock,
    stop,
    state,
    /** A second in which this much is done. */
    second(work: number) {
      state.work += work;
      clock.advance(1_000);
    },
  };
}

test("garbage is collected once when the work is done, and not while it goes on", () => {
  const { state, second } = setUp();
  for (let i = 0; i < 20; i++) second(5_000);
  expect(state.collections).toBe(0);
  second(0);
  expect(state.collections).toBe(1);
  for (let i = 0; i < 60; i++) second(1);
  expect(state.collections).toBe(1);
});

test("garbage is collected once more when what the work has left is forgotten", () => {
  const { state, second, clock } = setUp();
  second(20_000);
  second(0);
  clock.advance(599_999);
  expect(state.collections).toBe(1);
  clock.advance(1);
  expect(state.collections).toBe(2);
  clock.advance(6_000_000);
  expect(state.collections).toBe(2);
});

test("each time of much work is followed by one collection", () => {
  const { state, second } = setUp();
  for (const collections of [1, 2, 3]) {
    second(10_000);
    second(0);
    expect(state.collections).toBe(collections);
  }
});

test("the start leaves garbage as well", () => {
  const { state, second } = setUp();
  second(0);
  expect(state.collections).toBe(1);
});

test("little work leaves nothing worth a collection, until it has added up", () => {
  const { state, second } = setUp();
  second(0);
  second(9_999);
  second(0);
  expect(state.collections).toBe(1);
  second(1);
  expect(state.collections).toBe(2);
});

test("once stopped it collects no more", () => {
  const { state, second, stop, clock } = setUp();
  second(20_000);
  second(0);
  second(20_000);
  stop();
  second(0);
  clock.advance(600_000);
  expect(state.collections).toBe(1);
});
