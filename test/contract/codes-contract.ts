import { describe, expect, test } from "bun:test";
import type { Code } from "../../src/base/ids.ts";
import type { CodeLimits, NewCode } from "../../src/engine/engine.ts";
import type { EngineUnderTest, MakeEngine } from "./engine-contract.ts";
import {
  client,
  code,
  countCodes,
  mint,
  newCode,
  noCodeLimits,
  race,
  subscriber,
  take,
} from "./seating.ts";

export function codesContract(make: MakeEngine): void {
  /** Claims one code; answers the outcome. */
  async function claim(
    { engine }: EngineUnderTest,
    text: string,
    entry: Partial<NewCode> = {},
    limits: Partial<CodeLimits> = {},
  ) {
    return engine.codes.claim([code(text)], newCode(entry), { ...noCodeLimits, ...limits });
  }
  function atMost(held: Partial<CodeLimits["maxHeld"]>): Pick<CodeLimits, "maxHeld"> {
    return { maxHeld: { ...noCodeLimits.maxHeld, ...held } };
  }
  async function outcome(...args: Parameters<typeof claim>) {
    return (await claim(...args)).outcome;
  }

  describe("codes", () => {
    test("a claimed code is taken with its room and its expiry", async () => {
      await using under = await make();
      const entry = newCode();
      const claimed = await under.engine.codes.claim([code("1234")], entry, noCodeLimits);
      if (claimed.outcome !== "claimed") throw new Error(claimed.outcome);
      expect(claimed.code).toBe(code("1234"));
      const taken = await take(under.engine, "1234");
      expect(taken).toMatchObject({ appId: entry.appId, expiresAt: claimed.expiresAt });
    });

    test("take returns the entry once, even to 32 racing takers", async () => {
      await using under = await make();
      const appId = await mint(under.engine, "1234");
      const answers = await race(32, () => take(under.engine, "1234"));
      const winners = answers.filter((entry) => entry !== undefined);
      expect(winners.map((entry) => entry?.appId)).toEqual([appId]);
    });

    test("take answers undefined alike for unknown, used and expired codes", async () => {
      await using under = await make();
      await mint(under.engine, "1111");
      await mint(under.engine, "2222", { ttlMs: 60_000 });
      await take(under.engine, "1111");
      await under.advance(60_000);
      for (const text of ["0000", "1111", "2222"]) {
        expect(await take(under.engine, text)).toBeUndefined();
      }
    });

    test("a code can be taken until it expires, and not from that moment on", async () => {
      await using under = await make();
      await mint(under.engine, "1111", { ttlMs: 60_000 });
      await mint(under.engine, "2222", { ttlMs: 60_000 });
      await under.advance(50_000);
      expect(await take(under.engine, "1111")).toBeDefined();
      await under.advance(10_000);
      expect(await take(under.engine, "2222")).toBeUndefined();
    });

    test("of 32 racing claims of one code exactly one succeeds", async () => {
      await using under = await make();
      const outcomes: string[] = await race(32, () => outcome(under, "1234"));
      expect(outcomes.toSorted()).toEqual(["claimed", ...Array<string>(31).fill("collided")]);
    });

    test("claim takes the first candidate that is neither live nor resting", async () => {
      await using under = await make();
      await mint(under.engine, "1111");
      await mint(under.engine, "2222");
      await take(under.engine, "2222");
      const candidates = ["1111", "2222", "3333", "4444"].map(code);
      const claimed = await under.engine.codes.claim(candidates, newCode(), noCodeLimits);
      expect(claimed).toMatchObject({ outcome: "claimed", code: code("3333") });
    });

    test("claim collides when every candidate is in use, and when there is none", async () => {
      await using under = await make();
      await mint(under.engine, "1111");
      expect(await outcome(under, "1111")).toBe("collided");
      const none = await under.engine.codes.claim([], newCode(), noCodeLimits);
      expect(none.outcome).toBe("collided");
    });

    test("claim draws candidates no further than the one it gets", async () => {
      await using under = await make();
      await mint(under.engine, "0000");
      let drawn = 0;
      function* draws(): Generator<Code> {
        for (;;) yield code(String(drawn++).padStart(4, "0"));
      }
      const claimed = await under.engine.codes.claim(draws(), newCode(), noCodeLimits);
      expect(claimed).toMatchObject({ code: code("0001") });
      expect(drawn).toBe(2);
    });

    test("a refused claim draws one candidate at most", async () => {
      await using under = await make();
      await mint(under.engine, "0000", { accounts: client("c") });
      let drawn = 0;
      function* draws(): Generator<Code> {
        drawn++;
        yield code("1111");
      }
      const entry = newCode({ accounts: client("c") });
      const { codes } = under.engine;
      await codes.claim(draws(), entry, { ...noCodeLimits, maxLive: 1 });
      await codes.claim(draws(), entry, { ...noCodeLimits, ...atMost({ client: 1 }) });
      expect(drawn).toBeLessThanOrEqual(2);
    });

    test("a used code rests from its taking: it can be neither taken nor claimed", async () => {
      await using under = await make();
      await mint(under.engine, "1234", { ttlMs: 60_000, restMs: 600_000 });
      await under.advance(30_000);
      await take(under.engine, "1234");
      await under.advance(590_000);
      expect(await outcome(under, "1234")).toBe("collided");
      expect(await take(under.engine, "1234")).toBeUndefined();
      await under.advance(10_000);
      expect(await outcome(under, "1234")).toBe("claimed");
      expect(await take(under.engine, "1234")).toBeDefined();
    });

    test("an expired code rests from its expiry", async () => {
      await using under = await make();
      await mint(under.engine, "1234", { ttlMs: 60_000, restMs: 600_000 });
      await under.advance(60_000);
      expect(await outcome(under, "1234")).toBe("collided");
      await under.advance(590_000);
      expect(await outcome(under, "1234")).toBe("collided");
      await under.advance(10_000);
      expect(await outcome(under, "1234")).toBe("claimed");
    });

    test("a code that need not rest is free again at once", async () => {
      await using under = await make();
      await mint(under.engine, "1111", { restMs: 0 });
      await mint(under.engine, "2222", { restMs: 0, ttlMs: 60_000 });
      await take(under.engine, "1111");
      expect(await outcome(under, "1111")).toBe("claimed");
      await under.advance(60_000);
      expect(await outcome(under, "2222")).toBe("claimed");
    });

    test("a code claimed anew is untouched by what was due for its earlier life", async () => {
      await using under = await make();
      await mint(under.engine, "1234", { ttlMs: 60_000, restMs: 0 });
      await take(under.engine, "1234");
      const appId = await mint(under.engine, "1234", { ttlMs: 120_000, restMs: 0 });
      await under.advance(90_000);
      expect(await countCodes(under.engine)).toEqual({ live: 1, resting: 0 });
      expect(await take(under.engine, "1234")).toMatchObject({ appId });
    });

    test("claims stop at maxLive until a live code is used or expires", async () => {
      await using under = await make();
      const limits = { maxLive: 2 };
      expect(await outcome(under, "1111", {}, limits)).toBe("claimed");
      expect(await outcome(under, "2222", { ttlMs: 120_000 }, limits)).toBe("claimed");
      expect(await outcome(under, "3333", {}, limits)).toBe("crowded");
      await take(under.engine, "1111");
      expect(await outcome(under, "3333", { ttlMs: 240_000 }, limits)).toBe("claimed");
      expect(await outcome(under, "4444", {}, limits)).toBe("crowded");
      await under.advance(120_000);
      expect(await outcome(under, "4444", {}, limits)).toBe("claimed");
    });

    test("32 racing claims do not pass maxLive", async () => {
      await using under = await make();
      const outcomes = await race(32, (i) => outcome(under, `${1000 + i}`, {}, { maxLive: 5 }));
      expect(outcomes.filter((o) => o === "claimed")).toHaveLength(5);
      expect(outcomes.filter((o) => o === "crowded")).toHaveLength(27);
    });

    test("claims stop at maxUsed, resting codes included, until one has rested", async () => {
      await using under = await make();
      const limits = { maxUsed: 2 };
      expect(await outcome(under, "1111", { restMs: 60_000 }, limits)).toBe("claimed");
      expect(await outcome(under, "2222", {}, limits)).toBe("claimed");
      await take(under.engine, "1111");
      expect(await outcome(under, "3333", {}, limits)).toBe("crowded");
      await under.advance(60_000);
      expect(await outcome(under, "3333", {}, limits)).toBe("claimed");
    });

    test("a client holds at most its maxHeld; others and nobody's are not concerned", async () => {
      await using under = await make();
      const limits = atMost({ client: 2 });
      expect(await outcome(under, "1111", { accounts: client("c") }, limits)).toBe("claimed");
      expect(await outcome(under, "2222", { accounts: client("c") }, limits)).toBe("claimed");
      expect(await outcome(under, "3333", { accounts: client("c") }, limits)).toBe("client_full");
      expect(await outcome(under, "3333", { accounts: client("d") }, limits)).toBe("claimed");
      for (const text of ["4444", "5555", "6666"]) {
        expect(await outcome(under, text, { accounts: [] }, limits)).toBe("claimed");
      }
    });

    test("using a code does not give its client a new one before it has rested", async () => {
      await using under = await make();
      const limits = atMost({ client: 1 });
      await claim(under, "1111", { accounts: client("c"), restMs: 60_000 }, limits);
      await take(under.engine, "1111");
      expect(await outcome(under, "2222", { accounts: client("c") }, limits)).toBe("client_full");
      await under.advance(60_000);
      expect(await outcome(under, "2222", { accounts: client("c") }, limits)).toBe("claimed");
    });

    test("a customer and a site hold at most their own maxHeld, whichever of their clients claims", async () => {
      await using under = await make();
      const limits = atMost({ client: 2, customer: 3, site: 5 });
      const of = (...who: Parameters<typeof subscriber>) => ({ accounts: subscriber(...who) });
      expect(await outcome(under, "1111", of("a", "c", "s"), limits)).toBe("claimed");
      expect(await outcome(under, "2222", of("a", "c", "s"), limits)).toBe("claimed");
      expect(await outcome(under, "3333", of("a", "c", "s"), limits)).toBe("client_full");
      expect(await outcome(under, "3333", of("b", "c", "s"), limits)).toBe("claimed");
      expect(await outcome(under, "4444", of("d", "c", "s"), limits)).toBe("client_full");
      // A neighbour is not concerned, until the site has what it may have.
      expect(await outcome(under, "4444", of("a", "neighbour", "s"), limits)).toBe("claimed");
      expect(await outcome(under, "5555", of("b", "neighbour", "s"), limits)).toBe("claimed");
      expect(await outcome(under, "6666", of("a", "third", "s"), limits)).toBe("client_full");
      expect(await outcome(under, "6666", of("a", "third", "t"), limits)).toBe("claimed");
      await take(under.engine, "1111");
      await under.advance(600_000);
      expect(await outcome(under, "7777", of("d", "c", "s"), limits)).toBe("claimed");
    });

    test("32 racing claims do not pass what a client may hold", async () => {
      await using under = await make();
      const entry = { accounts: client("c") };
      const outcomes = await race(32, (i) =>
        outcome(under, `${1000 + i}`, entry, atMost({ client: 5 })),
      );
      expect(outcomes.filter((o) => o === "claimed")).toHaveLength(5);
    });

    test("client_full says when the client's oldest code is free again", async () => {
      await using under = await make();
      const limits = atMost({ client: 2 });
      const entry = { accounts: client("c"), ttlMs: 60_000, restMs: 100_000 };
      await claim(under, "1111", entry, limits);
      await under.advance(20_000);
      await claim(under, "2222", entry, limits);
      const refused = await claim(under, "3333", entry, limits);
      if (refused.outcome !== "client_full") throw new Error(refused.outcome);
      expect(refused.retryAfterMs).toBeLessThanOrEqual(140_000);
      expect(refused.retryAfterMs).toBeGreaterThan(130_000);
      await under.advance(refused.retryAfterMs);
      expect(await outcome(under, "3333", entry, limits)).toBe("claimed");
    });

    test("client_full counts the rest of a used code from its use", async () => {
      await using under = await make();
      const entry = { accounts: client("c"), ttlMs: 60_000, restMs: 100_000 };
      await claim(under, "1111", entry);
      await take(under.engine, "1111");
      await under.advance(50_000);
      const refused = await claim(under, "2222", entry, atMost({ client: 1 }));
      if (refused.outcome !== "client_full") throw new Error(refused.outcome);
      expect(refused.retryAfterMs).toBeLessThanOrEqual(50_000);
      expect(refused.retryAfterMs).toBeGreaterThan(40_000);
    });

    test("counts tells live codes from resting ones, at every moment", async () => {
      await using under = await make();
      expect(await countCodes(under.engine)).toEqual({ live: 0, resting: 0 });
      await mint(under.engine, "1111", { ttlMs: 60_000, restMs: 30_000 });
      await mint(under.engine, "2222", { ttlMs: 60_000, restMs: 300_000 });
      expect(await countCodes(under.engine)).toEqual({ live: 2, resting: 0 });
      await take(under.engine, "2222");
      expect(await countCodes(under.engine)).toEqual({ live: 1, resting: 1 });
      await under.advance(60_000);
      expect(await countCodes(under.engine)).toEqual({ live: 0, resting: 2 });
      await under.advance(30_000);
      expect(await countCodes(under.engine)).toEqual({ live: 0, resting: 1 });
      await under.advance(210_000);
      expect(await countCodes(under.engine)).toEqual({ live: 0, resting: 0 });
    });
  });
}
