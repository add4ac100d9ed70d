import { describe, expect, test } from "bun:test";
import { type AppId, newAppId, type Side } from "../../src/base/ids.ts";
import type { IceTerms } from "../../src/engine/engine.ts";
import { contractLimits, type EngineUnderTest, type MakeEngine } from "./engine-contract.ts";
import { join, mint, race, take } from "./seating.ts";

export function iceContract(make: MakeEngine): void {
  const redeemedOnly: IceTerms = { redeemed: true, maxGrants: 4 };
  const anyRoom: IceTerms = { redeemed: false, maxGrants: 4 };

  async function grant({ engine }: EngineUnderTest, appId: AppId, side: Side, terms: IceTerms) {
    return engine.rooms.grantIce(appId, side, terms);
  }
  /** A room whose code was minted and taken, with side A seated. */
  async function redeemedRoom(under: EngineUnderTest) {
    const appId = await mint(under.engine, "1234");
    await take(under.engine, "1234");
    return { appId, a: await join(under.engine, appId, "A") };
  }

  describe("ICE grants", () => {
    test("a seated side of a redeemed room gets as many as the terms allow", async () => {
      await using under = await make();
      const { appId } = await redeemedRoom(under);
      for (let i = 0; i < 4; i++) {
        expect(await grant(under, appId, "A", redeemedOnly)).toBe("granted");
      }
      expect(await grant(under, appId, "A", redeemedOnly)).toBe("spent");
    });

    test("each side has its own", async () => {
      await using under = await make();
      const { appId } = await redeemedRoom(under);
      await join(under.engine, appId, "B");
      const terms = { redeemed: true, maxGrants: 1 };
      expect(await grant(under, appId, "A", terms)).toBe("granted");
      expect(await grant(under, appId, "B", terms)).toBe("granted");
      expect(await grant(under, appId, "A", terms)).toBe("spent");
    });

    test("of 32 that race only as many are granted as the terms allow", async () => {
      await using under = await make();
      const { appId } = await redeemedRoom(under);
      const grants: string[] = await race(32, () => grant(under, appId, "A", redeemedOnly));
      expect(grants.filter((answer) => answer === "granted")).toHaveLength(4);
      expect(grants.filter((answer) => answer === "spent")).toHaveLength(28);
    });

    test("a side that nobody holds gets none", async () => {
      await using under = await make();
      const { appId, a } = await redeemedRoom(under);
      expect(await grant(under, appId, "B", redeemedOnly)).toBe("no_seat");
      await under.engine.seats.leave(a.seat);
      expect(await grant(under, appId, "A", redeemedOnly)).toBe("no_seat");
      expect(await grant(under, newAppId(), "A", anyRoom)).toBe("no_seat");
    });

    test("the code must have been taken, be it after the side sat down", async () => {
      await using under = await make();
      const appId = await mint(under.engine, "1234");
      await join(under.engine, appId, "A");
      expect(await grant(under, appId, "A", redeemedOnly)).toBe("not_redeemed");
      await take(under.engine, "1234");
      expect(await grant(under, appId, "A", redeemedOnly)).toBe("granted");
    });

    test("an expired code is as good as none", async () => {
      await using under = await make();
      const appId = await mint(under.engine, "1234", { ttlMs: 60_000 });
      await join(under.engine, appId, "A");
      await under.advance(60_000);
      await under.engine.sweep();
      expect(await grant(under, appId, "A", redeemedOnly)).toBe("not_redeemed");
    });

    test("a room of the clients' own gets them only where any room does", async () => {
      await using under = await make();
      const appId = newAppId();
      await join(under.engine, appId, "A");
      expect(await grant(under, appId, "A", redeemedOnly)).toBe("not_redeemed");
      expect(await grant(under, appId, "A", anyRoom)).toBe("granted");
    });

    test("a refusal counts nothing", async () => {
      await using under = await make();
      const appId = await mint(under.engine, "1234");
      await join(under.engine, appId, "A");
      for (let i = 0; i < 8; i++) await grant(under, appId, "A", redeemedOnly);
      await take(under.engine, "1234");
      expect(await grant(under, appId, "A", redeemedOnly)).toBe("granted");
    });

    test("who comes back to the seat has what is left, not all anew", async () => {
      await using under = await make();
      const { appId, a } = await redeemedRoom(under);
      for (let i = 0; i < 3; i++) await grant(under, appId, "A", redeemedOnly);
      await under.engine.seats.leave(a.seat);
      await under.advance(contractLimits.relayHoldMs * 2);
      await join(under.engine, appId, "A");
      expect(await grant(under, appId, "A", redeemedOnly)).toBe("granted");
      expect(await grant(under, appId, "A", redeemedOnly)).toBe("spent");
    });
  });
}
