import { describe, expect, test } from "bun:test";
import type { Guesser } from "../../src/engine/engine.ts";
import type { EngineUnderTest, MakeEngine } from "./engine-contract.ts";
import { code, mint, race } from "./seating.ts";

export function guessesContract(make: MakeEngine): void {
  const windowMs = 60_000;

  /** A guesser by keys and their limits. */
  function guesser(...keys: readonly (readonly [key: string, limit: number])[]): Guesser {
    return { keys: keys.map(([key, limit]) => ({ key, limit })), windowMs };
  }
  async function guess({ engine }: EngineUnderTest, text: string, who: Guesser) {
    return engine.codes.guess(code(text), who);
  }
  /** Misses `times` times; answers the outcomes. */
  async function miss(under: EngineUnderTest, times: number, who: Guesser) {
    const outcomes: string[] = [];
    for (let i = 0; i < times; i++) outcomes.push((await guess(under, "0000", who)).outcome);
    return outcomes;
  }

  describe("guesses", () => {
    test("a right guess takes the code out, for everybody", async () => {
      await using under = await make();
      const appId = await mint(under.engine, "1234");
      const taken = await guess(under, "1234", guesser(["me", 3]));
      expect(taken).toMatchObject({ outcome: "taken", entry: { appId } });
      expect(await guess(under, "1234", guesser(["you", 3]))).toEqual({ outcome: "gone" });
      expect(await under.engine.codes.take(code("1234"))).toBeUndefined();
    });

    test("unknown, used and expired codes are gone alike", async () => {
      await using under = await make();
      await mint(under.engine, "1111");
      await mint(under.engine, "2222", { ttlMs: 60_000 });
      await under.engine.codes.take(code("1111"));
      await under.advance(60_000);
      for (const text of ["0000", "1111", "2222"]) {
        expect(await guess(under, text, guesser(["me", 100]))).toEqual({ outcome: "gone" });
      }
    });

    test("at its limit of misses a guesser is locked, even for a right code", async () => {
      await using under = await make();
      await mint(under.engine, "1234");
      expect(await miss(under, 4, guesser(["me", 3]))).toEqual(["gone", "gone", "gone", "locked"]);
      const locked = await guess(under, "1234", guesser(["me", 3]));
      if (locked.outcome !== "locked") throw new Error(locked.outcome);
      expect(locked.retryAfterMs).toBeGreaterThan(windowMs - 5_000);
      expect(locked.retryAfterMs).toBeLessThanOrEqual(windowMs);
      expect(await guess(under, "1234", guesser(["you", 3]))).toMatchObject({ outcome: "taken" });
    });

    test("after retryAfterMs the lock is over", async () => {
      await using under = await make();
      await mint(under.engine, "1234", { ttlMs: 600_000 });
      await miss(under, 3, guesser(["me", 3]));
      const locked = await guess(under, "1234", guesser(["me", 3]));
      if (locked.outcome !== "locked") throw new Error(locked.outcome);
      await under.advance(locked.retryAfterMs);
      expect(await guess(under, "1234", guesser(["me", 3]))).toMatchObject({ outcome: "taken" });
    });

    test("right guesses count against nobody", async () => {
      await using under = await make();
      const texts = ["1111", "2222", "3333", "4444"];
      for (const text of texts) await mint(under.engine, text);
      for (const text of texts) {
        expect(await guess(under, text, guesser(["me", 1]))).toMatchObject({ outcome: "taken" });
      }
    });

    test("misses of an earlier window do not count", async () => {
      await using under = await make();
      const me = guesser(["me", 3]);
      expect(await miss(under, 2, me)).toEqual(["gone", "gone"]);
      await under.advance(windowMs);
      expect(await miss(under, 3, me)).toEqual(["gone", "gone", "gone"]);
      expect(await miss(under, 1, me)).toEqual(["locked"]);
    });

    test("a lock is twice as long each time the guesser goes on right after", async () => {
      await using under = await make();
      const me = guesser(["me", 1]);
      for (const windows of [1, 2, 4, 8]) {
        expect(await miss(under, 1, me)).toEqual(["gone"]);
        await under.advance(windows * windowMs - 5_000);
        expect(await miss(under, 1, me)).toEqual(["locked"]);
        await under.advance(5_000);
      }
    });

    test("a guesser that was quiet for a window after its lock is as new", async () => {
      await using under = await make();
      const me = guesser(["me", 1]);
      await miss(under, 1, me);
      await under.advance(windowMs);
      await miss(under, 1, me);
      await under.advance(windowMs * 3);
      expect(await miss(under, 2, me)).toEqual(["gone", "locked"]);
      await under.advance(windowMs);
      expect(await miss(under, 1, me)).toEqual(["gone"]);
    });

    test("a miss counts against all keys, and any one of them locks", async () => {
      await using under = await make();
      await miss(under, 2, guesser(["host 1", 10], ["net", 3]));
      expect(await miss(under, 1, guesser(["host 2", 10], ["net", 3]))).toEqual(["gone"]);
      expect(await miss(under, 1, guesser(["host 3", 10], ["net", 3]))).toEqual(["locked"]);
      expect(await miss(under, 1, guesser(["host 1", 3]))).toEqual(["gone"]);
      expect(await miss(under, 1, guesser(["host 1", 3]))).toEqual(["locked"]);
      expect(await miss(under, 1, guesser(["host 2", 2]))).toEqual(["gone"]);
    });

    test("guesses under way at once do not slip past the limit", async () => {
      await using under = await make();
      const answers = await race(32, () => guess(under, "0000", guesser(["me", 5])));
      const outcomes = answers.map(({ outcome }) => outcome);
      expect(outcomes.filter((outcome) => outcome === "gone")).toHaveLength(5);
      expect(outcomes.filter((outcome) => outcome === "locked")).toHaveLength(27);
    });

    test("of 32 right guesses at once one takes the code", async () => {
      await using under = await make();
      await mint(under.engine, "1234");
      const answers = await race(32, (i) => guess(under, "1234", guesser([`g${i}`, 5])));
      expect(answers.filter(({ outcome }) => outcome === "taken")).toHaveLength(1);
    });
  });
}
