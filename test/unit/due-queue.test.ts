import { expect, test } from "bun:test";
import fc from "fast-check";
import { DueQueue } from "../../src/engine/memory/due-queue.ts";

class Thing {
  dueAt = Number.POSITIVE_INFINITY;
  constructor(readonly name: number) {}
}

test("nothing is due in an empty queue", () => {
  expect(new DueQueue<Thing>().take(Number.POSITIVE_INFINITY)).toBeUndefined();
});

test("a thing is handed out at its moment, not before, and once", () => {
  const queue = new DueQueue<Thing>();
  const thing = new Thing(1);
  queue.add(thing, 10);
  expect(queue.take(9)).toBeUndefined();
  expect(queue.take(10)).toBe(thing);
  expect(queue.take(10)).toBeUndefined();
});

test("a thing that was moved comes at its new moment only, also when moved back", () => {
  const queue = new DueQueue<Thing>();
  const thing = new Thing(1);
  for (const at of [10, 30, 20, 10, 20]) queue.add(thing, at);
  expect(queue.take(19)).toBeUndefined();
  expect(queue.take(20)).toBe(thing);
  expect(queue.take(1_000)).toBeUndefined();
});

const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ add: fc.nat(19), at: fc.nat(100) }) },
  { weight: 2, arbitrary: fc.record({ until: fc.nat(100) }) },
);

test("whatever is added, moved and taken, it does as a sorted list would", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const queue = new DueQueue<Thing>();
      const things = Array.from({ length: 20 }, (_, name) => new Thing(name));
      /** What is in the queue, and when it is due. */
      const list = new Map<Thing, number>();
      const takeFrom = (until: number) => {
        const taken = queue.take(until);
        const due = [...list].filter(([, at]) => at <= until).toSorted((a, b) => a[1] - b[1]);
        if (taken === undefined) return expect(due).toEqual([]);
        // Of those that fall due together any may be the first.
        expect(list.get(taken)).toBe(due[0]?.[1]);
        expect(taken.dueAt).toBe(Number.POSITIVE_INFINITY);
        list.delete(taken);
      };
      for (const one of steps) {
        if ("until" in one) {
          takeFrom(one.until);
          continue;
        }
        const thing = things[one.add] as Thing;
        queue.add(thing, one.at);
        list.set(thing, one.at);
        expect(thing.dueAt).toBe(one.at);
      }
      while (list.size > 0) takeFrom(1_000);
      expect(queue.take(1_000)).toBeUndefined();
    }),
    { numRuns: 300 },
  );
});

test("100,000 things in any order come out in order", () => {
  const queue = new DueQueue<Thing>();
  let state = 1;
  for (let i = 0; i < 100_000; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    queue.add(new Thing(state), state);
  }
  let last = -1;
  let count = 0;
  for (let thing = queue.take(2 ** 32); thing !== undefined; thing = queue.take(2 ** 32)) {
    expect(thing.name).toBeGreaterThanOrEqual(last);
    last = thing.name;
    count++;
  }
  expect(count).toBe(100_000);
});
