import { describe, expect, test } from "bun:test";
import { newAppId } from "../../src/base/ids.ts";
import type { MakeEngine } from "./engine-contract.ts";
import { RecordingWaiter } from "./listener.ts";
import { pair, sit, tryToSit } from "./seating.ts";

export function parkingContract(make: MakeEngine): void {
  describe("parking", () => {
    test("a parked newcomer hears vacant when the occupant leaves, and gets the seat", async () => {
      await using under = await make();
      const { appId, a } = await pair(under.engine);
      const waiter = new RecordingWaiter();
      await under.engine.seats.park(appId, "A", waiter);
      await under.engine.seats.leave(a.seat);
      await waiter.hears("vacant");
      expect((await tryToSit(under.engine, appId, "A")).answer.outcome).toBe("taken");
    });

    test("vacant promises nothing: somebody else may have the seat by then", async () => {
      await using under = await make();
      const { appId, a } = await pair(under.engine);
      const waiter = new RecordingWaiter();
      await under.engine.seats.park(appId, "A", waiter);
      await under.engine.seats.leave(a.seat);
      const quick = await sit(under.engine, appId, "A");
      await waiter.hears("vacant");
      const { answer } = await tryToSit(under.engine, appId, "A");
      expect(answer).toEqual({ outcome: "busy", token: quick.seat.token });
    });

    test("nobody parks at a seat that is free already", async () => {
      await using under = await make();
      const { appId, a } = await pair(under.engine);
      await under.engine.seats.leave(a.seat);
      for (const room of [appId, newAppId()]) {
        expect(await under.engine.seats.park(room, "A", new RecordingWaiter())).toBeUndefined();
      }
    });

    test("a later newcomer sends the earlier one of its side away, and only that", async () => {
      await using under = await make();
      const { appId, a } = await pair(under.engine);
      const [first, second, other] = [0, 1, 2].map(() => new RecordingWaiter());
      if (!first || !second || !other) throw new Error("no waiters");
      await under.engine.seats.park(appId, "A", first);
      await under.engine.seats.park(appId, "B", other);
      await under.engine.seats.park(appId, "A", second);
      await first.hears("displaced");
      await under.engine.seats.leave(a.seat);
      await second.hears("vacant");
      expect(first.unheard).toEqual([]);
      expect(other.unheard).toEqual([]);
    });

    test("one who gave its place up hears nothing more", async () => {
      await using under = await make();
      const { appId, a } = await pair(under.engine);
      const [gone, next] = [new RecordingWaiter(), new RecordingWaiter()];
      const parked = await under.engine.seats.park(appId, "A", gone);
      parked?.unpark();
      parked?.unpark();
      await under.engine.seats.park(appId, "A", next);
      await under.engine.seats.leave(a.seat);
      await next.hears("vacant");
      expect(gone.unheard).toEqual([]);
    });

    test("giving up a place that was lost does not cost the next its own", async () => {
      await using under = await make();
      const { appId, a } = await pair(under.engine);
      const [lost, next] = [new RecordingWaiter(), new RecordingWaiter()];
      const parked = await under.engine.seats.park(appId, "A", lost);
      await under.engine.seats.park(appId, "A", next);
      parked?.unpark();
      await under.engine.seats.leave(a.seat);
      await next.hears("vacant");
    });

    test("times counts who waited for this very occupant, and starts anew with the next", async () => {
      await using under = await make();
      const { appId, a } = await pair(under.engine);
      const times = async () => {
        const waiter = new RecordingWaiter();
        return (await under.engine.seats.park(appId, "A", waiter))?.times;
      };
      expect([await times(), await times(), await times()]).toEqual([1, 2, 3]);
      expect((await under.engine.seats.park(appId, "B", new RecordingWaiter()))?.times).toBe(1);
      const heir = await sit(under.engine, appId, "A", { how: { dead: a.seat.token } });
      expect([await times(), await times()]).toEqual([1, 2]);
      await under.engine.seats.leave(heir.seat);
      await sit(under.engine, appId, "A");
      expect(await times()).toBe(1);
    });
  });

  describe("probing", () => {
    test.each([
      ["alive", true],
      ["dead", false],
    ] as const)("an occupant that is %s is reported so", async (answer, alive) => {
      await using under = await make();
      const { seat, listener } = await sit(under.engine, newAppId(), "A");
      listener.alive = () => Promise.resolve(alive);
      expect(await under.engine.seats.probe(seat.appId, "A", seat.token)).toBe(answer);
      await listener.hears("probed");
    });

    test("an occupant takes its time to answer", async () => {
      await using under = await make();
      const { seat, listener } = await sit(under.engine, newAppId(), "A");
      const { promise, resolve } = Promise.withResolvers<boolean>();
      listener.alive = () => promise;
      const probed = under.engine.seats.probe(seat.appId, "A", seat.token);
      await listener.hears("probed");
      resolve(true);
      expect(await probed).toBe("alive");
    });

    test("whoever is no longer the occupant is gone, and nobody is asked", async () => {
      await using under = await make();
      const { appId, a, b } = await pair(under.engine);
      const { seats } = under.engine;
      const heir = await sit(under.engine, appId, "A", { how: { dead: a.seat.token } });
      expect(await seats.probe(appId, "A", a.seat.token)).toBe("gone");
      await under.engine.seats.leave(b.seat);
      expect(await seats.probe(appId, "B", b.seat.token)).toBe("gone");
      expect(await seats.probe(newAppId(), "A", 1)).toBe("gone");
      expect(heir.listener.unheard).not.toContain("probed");
      await a.listener.hears("replaced dead");
      expect(a.listener.unheard).toEqual([]);
    });
  });
}
