import { expect, test } from "bun:test";
import { maxRequestsPerTurn, turnBudget } from "../../src/admission/http-connections.ts";

/** A budget whose turns end when the test says so. */
function budget() {
  const ends: (() => void)[] = [];
  const turns = turnBudget((run) => ends.push(run));
  return {
    ...turns,
    endTurn() {
      for (const run of ends.splice(0)) run();
    },
    /** How many of these requests may be answered at once. */
    takeMany: (count: number) =>
      Array.from({ length: count }, turns.take).filter((turn) => turn === undefined).length,
  };
}

test("so many requests are answered in the turn in which they came, and those behind them later", async () => {
  const { take, takeMany, endTurn, deferred } = budget();
  expect(takeMany(maxRequestsPerTurn)).toBe(maxRequestsPerTurn);
  let answered = 0;
  const late = Array.from({ length: 10 }, () => take()?.then(() => answered++));
  await Promise.resolve();
  expect([answered, deferred()]).toEqual([0, 10]);
  endTurn();
  await Promise.all(late);
  expect(answered).toBe(10);
});

test("each turn has as many, whatever the one before it had", () => {
  const { takeMany, endTurn, deferred } = budget();
  for (const asked of [1, 10 * maxRequestsPerTurn, maxRequestsPerTurn, 5]) {
    expect(takeMany(asked)).toBe(Math.min(asked, maxRequestsPerTurn));
    endTurn();
  }
  expect(deferred()).toBe(9 * maxRequestsPerTurn);
});

test("the end of a turn frees only those who waited for it", async () => {
  const { take, takeMany, endTurn } = budget();
  takeMany(maxRequestsPerTurn);
  const first = take();
  endTurn();
  takeMany(maxRequestsPerTurn);
  let second = false;
  const later = take()?.then(() => {
    second = true;
  });
  await first;
  expect(second).toBe(false);
  endTurn();
  await later;
});
