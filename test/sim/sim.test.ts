import { expect, test } from "bun:test";
import { misplaced } from "./mutants.ts";
import { report, simulateHours } from "./run.ts";
import { simulate } from "./world.ts";

test("two simulations of one seed are the same, frame by frame", () => {
  const [one, two] = [
    simulate({ seed: 3, engine: "memory" }),
    simulate({ seed: 3, engine: "memory" }),
  ];
  expect(one.frames).toBeGreaterThan(10_000);
  expect([two.hash, two.frames, two.events]).toEqual([one.hash, one.frames, one.events]);
});

test("four hours of faults break no promise of a server alone", () => {
  const found = simulateHours({ seed: 1, engine: "memory" }, 4);
  expect(found && report(found, "this one")).toBeUndefined();
}, 60_000);

test("an hour of faults breaks no promise of several nodes on one Redis", () => {
  const found = simulateHours({ seed: 1, engine: "redis" }, 1);
  expect(found && report(found, "this one")).toBeUndefined();
}, 60_000);

test("every fault that is planted to try the simulation has its place in the source", () => {
  expect(misplaced()).toEqual([]);
});
