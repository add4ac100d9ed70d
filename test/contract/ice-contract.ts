import { describe, expect, test } from "bun:test";
import { type AppId, newAppId, type Side } from "../../src/base/ids.ts";
import type { EngineUnderTest, MakeEngine } from "./engine-contract.ts";
import { join, mint, take } from "./seating.ts";

export function iceContract(make: MakeEngine): void {
  async function allows(
    { engine }: EngineUnderTest,
    appId: AppId,
    side: Side,
    mustBeRedeemed = true,
  ) {
    return engine.rooms.allowsIce(appId, side, mustBeRedeemed);
  }
  /** A room whose code was minted and taken, with side A seated. */
  async function redeemedRoom(under: EngineUnderTest) {
    const appId = await mint(under.engine, "1234");
    await take(under.engine, "1234");
    return { appId, a: await join(under.engine, appId, "A") };
  }

  describe("ICE servers", () => {
    test("a seated side of a redeemed room may have them, as often as it asks", async () => {
      await using under = await make();
      const { appId } = await redeemedRoom(under);
      for (let i = 0; i < 8; i++) expect(await allows(under, appId, "A")).toBe("granted");
    });

    test("a side that nobody holds gets none", async () => {
      await using under = await make();
      const { appId, a } = await redeemedRoom(under);
      expect(await allows(under, appId, "B")).toBe("no_seat");
      await under.engine.seats.leave(a.seat);
      expect(await allows(under, appId, "A")).toBe("no_seat");
      expect(await allows(under, newAppId(), "A", false)).toBe("no_seat");
    });

    test("the code must have been taken, be it after the side sat down", async () => {
      await using under = await make();
      const appId = await mint(under.engine, "1234");
      await join(under.engine, appId, "A");
      expect(await allows(under, appId, "A")).toBe("not_redeemed");
      await take(under.engine, "1234");
      expect(await allows(under, appId, "A")).toBe("granted");
    });

    test("an expired code is as good as none", async () => {
      await using under = await make();
      const appId = await mint(under.engine, "1234", { ttlMs: 60_000 });
      await join(under.engine, appId, "A");
      await under.advance(60_000);
      await under.engine.sweep();
      expect(await allows(under, appId, "A")).toBe("not_redeemed");
    });

    test("a room of the clients' own gets them only where any room does", async () => {
      await using under = await make();
      const appId = newAppId();
      await join(under.engine, appId, "A");
      expect(await allows(under, appId, "A")).toBe("not_redeemed");
      expect(await allows(under, appId, "A", false)).toBe("granted");
    });
  });
}
