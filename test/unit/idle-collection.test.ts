import { expect, test } from "bun:test";
import { collectWhenIdle } from "../../src/server/idle-collection.ts";
import { Tally } from "../../src/telemetry/tally.ts";
import { fakeClock } from "../support/clock.ts";

test("garbage is collected when much work is done, and once more when what it left is forgotten", () => {
  const clock = fakeClock();
  const tally = new Tally();
  let collections = 0;
  const stop = collectWhenIdle(tally, clock, 600_000, () => collections++);
  /** A second in which this many sockets open. */
  const second = (sockets: number) => {
    tally.connections += sockets;
    clock.advance(1_000);
    return collections;
  };
  const ofTheStart = second(0);
  expect(ofTheStart).toBe(1);
  for (let i = 0; i < 20; i++) expect(second(5_000)).toBe(1);
  expect(second(0)).toBe(2);
  for (let i = 0; i < 60; i++) expect(second(1)).toBe(2);
  clock.advance(600_000);
  expect(collections).toBe(3);
  second(20_000);
  stop();
  expect(second(0)).toBe(3);
});
