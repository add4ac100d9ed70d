import { describe, expect, test } from "bun:test";
import type { Account } from "../../src/base/account.ts";
import type { CodeLimits } from "../../src/engine/engine.ts";
import { contractLimits, type EngineUnderTest, type MakeEngine } from "./engine-contract.ts";
import { client, code, mint, newCode, noCodeLimits, race, subscriber, take } from "./seating.ts";

export function guessesContract(make: MakeEngine): void {
  const windowMs = contractLimits.redeemWindowMs;
  const me = client("me");
  async function guess(
    { engine }: EngineUnderTest,
    text: string,
    who: readonly Account[],
    maxMisses = 3,
  ) {
    return engine.codes.guess(code(text), who, maxMisses);
  }
  /** Misses `times` times; answers the outcomes. */
  async function miss(
    under: EngineUnderTest,
    times: number,
    who: readonly Account[],
    maxMisses?: number,
  ) {
    const outcomes: string[] = [];
    for (let i = 0; i < times; i++) {
      outcomes.push((await guess(under, "0000", who, maxMisses)).outcome);
    }
    return outcomes;
  }
  /** Claims a code under other limits than none. */
  async function claim({ engine }: EngineUnderTest, text: string, limits: Partial<CodeLimits>) {
    const entry = newCode({ ttlMs: 600_000 });
    return (await engine.codes.claim([code(text)], entry, { ...noCodeLimits, ...limits })).outcome;
  }
  /** However many misses there were of late, a new code outlives so many more. */
  function outlives(misses: number): Partial<CodeLimits> {
    return { allowances: [{ upToRecent: Number.MAX_SAFE_INTEGER, misses }] };
  }

  describe("guesses", () => {
    test("a right guess takes the code out, for everybody", async () => {
      await using under = await make();
      const appId = await mint(under.engine, "1234");
      const taken = await guess(under, "1234", me);
      expect(taken).toMatchObject({ outcome: "taken", entry: { appId } });
      expect(await guess(under, "1234", client("you"))).toEqual({ outcome: "gone" });
    });

    test("unknown, used and expired codes are gone alike", async () => {
      await using under = await make();
      await mint(under.engine, "1111");
      await mint(under.engine, "2222", { ttlMs: 60_000 });
      await take(under.engine, "1111");
      await under.advance(60_000);
      for (const text of ["0000", "1111", "2222"]) {
        expect(await guess(under, text, me, 100)).toEqual({ outcome: "gone" });
      }
    });

    test("at its limit of misses a guesser is locked, even for a right code", async () => {
      await using under = await make();
      await mint(under.engine, "1234");
      expect(await miss(under, 4, me)).toEqual(["gone", "gone", "gone", "locked"]);
      const locked = await guess(under, "1234", me);
      if (locked.outcome !== "locked") throw new Error(locked.outcome);
      expect(locked.retryAfterMs).toBeGreaterThan(windowMs - 5_000);
      expect(locked.retryAfterMs).toBeLessThanOrEqual(windowMs);
      expect(await guess(under, "1234", client("you"))).toMatchObject({ outcome: "taken" });
    });

    test("after retryAfterMs the lock is over", async () => {
      await using under = await make();
      await mint(under.engine, "1234", { ttlMs: 600_000 });
      await miss(under, 3, me);
      const locked = await guess(under, "1234", me);
      if (locked.outcome !== "locked") throw new Error(locked.outcome);
      await under.advance(locked.retryAfterMs);
      expect(await guess(under, "1234", me)).toMatchObject({ outcome: "taken" });
    });

    test("right guesses count against nobody", async () => {
      await using under = await make();
      const texts = ["1111", "2222", "3333", "4444"];
      for (const text of texts) await mint(under.engine, text);
      for (const text of texts) {
        expect(await guess(under, text, me, 1)).toMatchObject({ outcome: "taken" });
      }
      expect(under.engine.codes.recentMisses()).toBe(0);
    });

    test("a limit of 0 locks nobody, and remembers nobody", async () => {
      await using under = await make();
      expect(new Set(await miss(under, 50, me, 0))).toEqual(new Set(["gone"]));
      await under.engine.sweep();
      expect(under.engine.sizes().guessers).toBe(0);
    });

    test("misses of an earlier window do not count", async () => {
      await using under = await make();
      expect(await miss(under, 2, me)).toEqual(["gone", "gone"]);
      await under.advance(windowMs);
      expect(await miss(under, 3, me)).toEqual(["gone", "gone", "gone"]);
      expect(await miss(under, 1, me)).toEqual(["locked"]);
    });

    test("a lock is twice as long each time the guesser goes on right after", async () => {
      await using under = await make();
      for (const windows of [1, 2, 4, 8]) {
        expect(await miss(under, 1, me, 1)).toEqual(["gone"]);
        await under.advance(windows * windowMs - 5_000);
        expect(await miss(under, 1, me, 1)).toEqual(["locked"]);
        await under.advance(5_000);
      }
    });

    test("a guesser that was quiet for a window after its lock is as new", async () => {
      await using under = await make();
      await miss(under, 1, me, 1);
      await under.advance(windowMs);
      await miss(under, 1, me, 1);
      await under.advance(windowMs * 3);
      expect(await miss(under, 2, me, 1)).toEqual(["gone", "locked"]);
      await under.advance(windowMs);
      expect(await miss(under, 1, me, 1)).toEqual(["gone"]);
    });

    test("a customer that misses four times as often as a client may is locked, each time for one window, and no neighbour is", async () => {
      await using under = await make();
      await mint(under.engine, "1234", { ttlMs: 600_000 });
      for (let round = 0; round < 3; round++) {
        for (let i = 0; i < 4; i++) {
          const answers = await miss(under, 3, subscriber(`${round}/${i}`, "customer", "site"));
          expect(answers).not.toContain("locked");
        }
        const locked = await guess(under, "1234", subscriber("new", "customer", "site"));
        if (locked.outcome !== "locked") throw new Error(locked.outcome);
        expect(locked.retryAfterMs).toBeLessThanOrEqual(windowMs);
        await under.advance(locked.retryAfterMs);
      }
      await miss(under, 12, subscriber("a", "customer", "site"), 100);
      const neighbour = subscriber("a", "neighbour", "site");
      expect(await guess(under, "1234", neighbour)).toMatchObject({ outcome: "taken" });
    });

    test("a site past its limit locks no neighbour out of a right code, also one who mistypes; its guessers get one client's misses", async () => {
      await using under = await make();
      await mint(under.engine, "1234", { ttlMs: 600_000 });
      await mint(under.engine, "5678", { ttlMs: 600_000 });
      for (let round = 0; round < 3; round++) {
        for (let i = 0; i < 16; i++) {
          await miss(under, 3, subscriber("a", `${round}/${i}`, "site"));
        }
        const guesser = (i: number) => subscriber(`${i}`, `guesser${round}`, "site");
        for (let i = 0; i < 3; i++) expect(await miss(under, 1, guesser(i))).toEqual(["gone"]);
        expect(await miss(under, 1, guesser(3))).toEqual(["locked"]);
      }
      const newcomer = subscriber("a", "newcomer", "site");
      expect(await guess(under, "1234", newcomer)).toMatchObject({ outcome: "taken" });
      const mistypes = subscriber("a", "mistypes", "site");
      expect(await miss(under, 2, mistypes)).toEqual(["gone", "gone"]);
      expect(await guess(under, "5678", mistypes)).toMatchObject({ outcome: "taken" });
    });

    test("all behind one proxy may miss 16 times as often as a client, then they wait for one window", async () => {
      await using under = await make();
      const shared: readonly Account[] = [{ key: "proxy:10.0.0.1", kind: "shared" }];
      for (let round = 0; round < 2; round++) {
        expect(await miss(under, 48, shared)).not.toContain("locked");
        const locked = await guess(under, "0000", shared);
        if (locked.outcome !== "locked") throw new Error(locked.outcome);
        expect(locked.retryAfterMs).toBeLessThanOrEqual(windowMs);
        await under.advance(locked.retryAfterMs);
      }
    });

    test("guesses under way at once do not slip past the limit", async () => {
      await using under = await make();
      const answers = await race(32, () => guess(under, "0000", me, 5));
      const outcomes = answers.map(({ outcome }) => outcome);
      expect(outcomes.filter((outcome) => outcome === "gone")).toHaveLength(5);
      expect(outcomes.filter((outcome) => outcome === "locked")).toHaveLength(27);
    });

    test("of 32 right guesses at once one takes the code", async () => {
      await using under = await make();
      await mint(under.engine, "1234");
      const answers = await race(32, (i) => guess(under, "1234", client(`g${i}`)));
      expect(answers.filter(({ outcome }) => outcome === "taken")).toHaveLength(1);
    });
  });

  describe("misses of everybody", () => {
    test("a code is withdrawn by as many misses at its length as it was allowed, whoever made them", async () => {
      await using under = await make();
      await claim(under, "1234", outlives(5));
      await claim(under, "5678", outlives(6));
      for (let i = 0; i < 5; i++) await miss(under, 1, client(`stranger ${i}`));
      for (const who of [me, client("stranger 0")]) {
        expect(await guess(under, "1234", who)).toEqual({ outcome: "withdrawn" });
      }
      expect(await guess(under, "5678", me)).toMatchObject({ outcome: "taken" });
    });

    test("misses made at once do not slip past what a code is allowed", async () => {
      await using under = await make();
      await claim(under, "1234", outlives(5));
      await race(5, (i) => guess(under, "0000", client(`stranger ${i}`)));
      expect(await guess(under, "1234", me)).toEqual({ outcome: "withdrawn" });
    });

    test("misses before a code was claimed, and at other lengths, take nothing from it", async () => {
      await using under = await make();
      await miss(under, 5, me, 100);
      await claim(under, "1234", outlives(5));
      await miss(under, 4, me, 100);
      for (let i = 0; i < 5; i++) await guess(under, "00000", me, 100);
      expect(await guess(under, "1234", me, 100)).toMatchObject({ outcome: "taken" });
    });

    test("a code is not allowed its misses anew when windows pass", async () => {
      await using under = await make();
      await claim(under, "1234", outlives(4));
      for (let i = 0; i < 4; i++) {
        await miss(under, 1, me, 100);
        await under.advance(2 * windowMs);
      }
      expect(await guess(under, "1234", me)).toEqual({ outcome: "withdrawn" });
    });

    test("guesses at a withdrawn code, and those of one who is locked, count for nothing", async () => {
      await using under = await make();
      await claim(under, "1234", outlives(1));
      await claim(under, "5678", outlives(2));
      await miss(under, 1, me, 1);
      await miss(under, 20, me, 1);
      for (let i = 0; i < 5; i++) await guess(under, "1234", client("you"), 1);
      expect(await guess(under, "5678", client("you"), 1)).toMatchObject({ outcome: "taken" });
    });

    test("a withdrawn code rests from its expiry, as any other", async () => {
      await using under = await make();
      await under.engine.codes.claim([code("1234")], newCode({ ttlMs: 60_000, restMs: 60_000 }), {
        ...noCodeLimits,
        ...outlives(1),
      });
      await miss(under, 1, me);
      await under.advance(60_000);
      expect(await guess(under, "1234", client("you"))).toEqual({ outcome: "gone" });
      expect(await claim(under, "1234", {})).toBe("collided");
      await under.advance(60_000);
      expect(await claim(under, "1234", outlives(1))).toBe("claimed");
      expect(await guess(under, "1234", client("you"))).toMatchObject({ outcome: "taken" });
    });

    test("recent misses are those of this window and the one before", async () => {
      await using under = await make();
      const recent = async () => {
        await under.engine.sweep();
        return under.engine.codes.recentMisses();
      };
      expect(await recent()).toBe(0);
      for (const text of ["0000", "00000", "00000000"]) await guess(under, text, me, 100);
      expect(await recent()).toBe(3);
      await under.advance(windowMs);
      expect(await recent()).toBe(3);
      await under.advance(windowMs);
      expect(await recent()).toBe(0);
    });

    test("no misses within one window are ever left out of the recent ones", async () => {
      await using under = await make();
      for (let i = 0; i < 10; i++) {
        await miss(under, 1, me, 1_000);
        await under.advance(windowMs / 10 - 100);
        await under.engine.sweep();
        expect(under.engine.codes.recentMisses()).toBeGreaterThanOrEqual(Math.min(i + 1, 10));
      }
    });

    test("the first allowance that holds for the recent misses is the code's", async () => {
      await using under = await make();
      const allowances = [
        { upToRecent: 2, misses: 100 },
        { upToRecent: 4, misses: 1 },
      ];
      await miss(under, 2, me, 100);
      expect(await claim(under, "1111", { allowances })).toBe("claimed");
      await miss(under, 1, me, 100);
      expect(await claim(under, "2222", { allowances })).toBe("claimed");
      await miss(under, 1, me, 100);
      expect(await guess(under, "2222", me, 100)).toEqual({ outcome: "withdrawn" });
      expect(await guess(under, "1111", me, 100)).toMatchObject({ outcome: "taken" });
    });

    test("where there are more recent misses than any allowance is for, claims are crowded out", async () => {
      await using under = await make();
      const allowances = [{ upToRecent: 2, misses: 100 }];
      await miss(under, 3, me, 100);
      expect(await claim(under, "1111", { allowances })).toBe("crowded");
      await under.advance(2 * windowMs);
      expect(await claim(under, "1111", { allowances })).toBe("claimed");
    });
  });
}
