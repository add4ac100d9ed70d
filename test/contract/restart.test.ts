import { expect, test } from "bun:test";
import fc from "fast-check";
import { memoryEngine } from "../../src/engine/memory/memory.ts";
import { fakeClock } from "../support/clock.ts";
import { Life, type RandomVerb, shortText, tightLimits, verbsWith } from "./random-verbs.ts";

/** A client soon has its share of all mail. */
const limits = { ...tightLimits, mailTotalBytes: 9_000 };

/**
 * Seats and those who wait for one end with a server, and so do frames held for a side and the misses of
 * each guesser: codes are redeemed by clients without an account.
 */
const verbsBut = (...left: readonly RandomVerb["do"][]) => {
  const step = verbsWith(shortText)
    .filter(({ do: verb }) => !left.includes(verb))
    .map((drawn) => (drawn.do === "redeem" ? { ...drawn, client: 0 } : drawn));
  const miss: RandomVerb = { do: "redeem", code: "5555", client: 0 };
  const often = fc.oneof({ weight: 9, arbitrary: step }, fc.constant(miss));
  return fc.array(often, { minLength: 20, maxLength: 60, size: "max" });
};

test("a restored engine answers, tells and counts as one that was never stopped", async () => {
  const downMs = fc.constantFrom(0, 10_000, 20_000, 300_000, 700_000);
  const property = fc.asyncProperty(
    verbsBut("park", "unpark", "publish"),
    downMs,
    verbsBut("park", "unpark"),
    async (before, passed, after) => {
      const clock = fakeClock();
      const newEngine = () => memoryEngine({ now: clock.now, limits, dropped() {} });
      const lived = new Life(newEngine(), clock.advance);
      await lived.mint();
      for (const step of before) await lived.take(step);
      // Seats that are still taken count as left at this moment.
      const saved = Array.from(lived.engine.snapshot(), (record) => JSON.stringify(record));
      await lived.leaveAll();
      clock.advance(passed);
      const heir = new Life(newEngine(), () => {}, lived.appIds);
      for (const line of saved) heir.engine.restore(JSON.parse(line));
      expect(await heir.sizes()).toEqual(await lived.sizes());
      lived.heard.length = 0;
      for (const step of after) {
        const answer = await lived.take(step);
        expect([step, await heir.take(step)]).toEqual([step, answer]);
        expect(heir.heard.map(({ unheard }) => unheard)).toEqual(
          lived.heard.map(({ unheard }) => unheard),
        );
        expect(await heir.sizes()).toEqual(await lived.sizes());
      }
    },
  );
  await fc.assert(property, { numRuns: 200 });
});
