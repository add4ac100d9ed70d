import { afterAll, test as anyTest, expect } from "bun:test";
import fc from "fast-check";
import type { EngineLimits } from "../../src/engine/engine.ts";
import { memoryEngine } from "../../src/engine/memory/memory.ts";
import { fakeClock } from "../support/clock.ts";
import { redisMissing, TestRedis } from "../support/redis.ts";
import { oneRedisNode, redisNodesApart, redisNodesInTurn } from "../support/redis-engine.ts";
import { contractLimits } from "./engine-contract.ts";
import { Life, type RandomVerb, shortText, tightLimits, verbsWith } from "./random-verbs.ts";

const test = anyTest.skipIf(redisMissing);
const redis = await TestRedis.start();
afterAll(() => redis[Symbol.asyncDispose]());

const reasons = ["stale", "hold_expired", "room_forgotten"] as const;
/** A run that took longer says nothing: what is over by the time that runs is not by the one that stands. */
const longestMs = 8_000;

/** Redis answers, tells and counts as memory does, whatever is asked. */
async function expectAlike(
  makeRedis: typeof oneRedisNode,
  limits: EngineLimits,
  steps: readonly RandomVerb[],
): Promise<void> {
  const began = performance.now();
  const drops = { stale: 0, hold_expired: 0, room_forgotten: 0 };
  const clock = fakeClock();
  const memory = memoryEngine({
    now: clock.now,
    limits,
    dropped: (reason, count) => {
      drops[reason] += count;
    },
  });
  await using under = await makeRedis(redis, limits);
  const model = new Life(memory, clock.advance);
  const life = new Life(under.engine, under.advance, model.appIds);
  try {
    await model.mint();
    await life.mint();
    for (const [index, step] of steps.entries()) {
      const expected = await model.take(step);
      expect([index, step, await life.take(step)]).toEqual([index, step, expected]);
      for (const [of, { unheard }] of model.heard.entries()) {
        const events = (unheard as string[]).splice(0);
        await life.heard[of]?.hears(...events);
      }
    }
    expect(await life.sizes()).toEqual(await model.sizes());
    expect(life.heard.flatMap(({ unheard }) => unheard)).toEqual([]);
    for (const reason of reasons) expect(await under.dropped(reason)).toBe(drops[reason]);
  } catch (error) {
    fc.pre(performance.now() - began < longestMs);
    throw error;
  }
}

const anyVerbs = fc.array(verbsWith(shortText), { minLength: 40, maxLength: 80, size: "max" });

test.each([
  ["one node", oneRedisNode],
  ["two nodes, the sides apart", redisNodesApart],
  ["two nodes in turn", redisNodesInTurn],
])(
  "Redis, %s, is like memory under random verbs",
  async (_, makeRedis) => {
    const property = fc.asyncProperty(anyVerbs, (steps) =>
      expectAlike(makeRedis, tightLimits, steps),
    );
    await fc.assert(property, { numRuns: 40, endOnFailure: true });
  },
  60_000,
);

const longText = fc.constantFrom(
  "x".repeat(60_000),
  "ü\u{1f511}".repeat(10_000),
  `"${"\\u0000".repeat(100)}${"\u0000".repeat(1_000)}"`,
  "y".repeat(1_048_576),
);

test("long texts pass Redis as they pass memory", async () => {
  const limits = { ...contractLimits, holdMaxBytes: 2_000_000 };
  const steps = fc.array(verbsWith(longText), { minLength: 20, maxLength: 40, size: "max" });
  const property = fc.asyncProperty(steps, (all) => expectAlike(redisNodesApart, limits, all));
  await fc.assert(property, { numRuns: 8, endOnFailure: true });
}, 60_000);
