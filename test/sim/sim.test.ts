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

/** Seeds that found a fault, for as long as the simulation plays them as it did then. */
const found = [
  { seed: 62_000_388, onlyFaults: ["failover"], what: "a frame to a moved stream was lost" },
  { seed: 72_000_245, onlyFaults: ["failover"], what: "a newcomer waited in no list" },
  { seed: 83_000_063, onlyFaults: undefined, what: "held frames came after later ones" },
] as const;
test.each(found)(
  "seed $seed: $what, no longer",
  ({ seed, onlyFaults }) => {
    const plan = { seed, engine: "redis", ...(onlyFaults && { onlyFaults }) } as const;
    const again = simulateHours(plan, 0.001);
    expect(again && report(again, "this one")).toBeUndefined();
  },
  60_000,
);

test("every fault that is planted to try the simulation has its place in the source", () => {
  expect(misplaced()).toEqual([]);
});
