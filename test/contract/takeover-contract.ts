import { describe, expect, test } from "bun:test";
import { type AppId, newAppId } from "../../src/base/ids.ts";
import { takeoverGuardMaxMs, takeoverGuardMs } from "../../src/engine/engine.ts";
import type { EngineUnderTest, MakeEngine } from "./engine-contract.ts";
import { join, mail, pair, race, readAll, sit, tryToSit } from "./seating.ts";

/** Short of a guard's end by more than a test can take. */
const marginMs = 5_000;

export function takeoverContract(make: MakeEngine): void {
  const bySid = { sid: "s", how: "same_sid" } as const;

  async function outcome(under: EngineUnderTest, appId: AppId) {
    return (await tryToSit(under.engine, appId, "A", bySid)).answer.outcome;
  }

  /** The next takeover is refused shortly before the guard's end and granted at it. */
  async function expectGuard(under: EngineUnderTest, appId: AppId, spanMs: number) {
    await under.advance(spanMs - marginMs);
    expect(`${spanMs}: ${await outcome(under, appId)}`).toBe(`${spanMs}: busy`);
    await under.advance(marginMs);
    expect(`${spanMs}: ${await outcome(under, appId)}`).toBe(`${spanMs}: taken`);
  }

  describe("takeover by sid", () => {
    test("the same client takes its seat over: old one replaced, other side told", async () => {
      await using under = await make();
      const appId = newAppId();
      const a = await join(under.engine, appId, "A", { sid: "s" });
      const b = await join(under.engine, appId, "B");
      await a.listener.hears("peerJoined");
      const again = await sit(under.engine, appId, "A", bySid);
      expect(again.taken).toMatchObject({ peer: true, firstPair: false });
      expect(again.seat.token).toBeGreaterThan(a.seat.token);
      await a.listener.hears("replaced same_sid");
      await b.listener.until("peerJoined");
    });

    test("a taker that asks for a free seat takes nothing over", async () => {
      await using under = await make();
      const appId = newAppId();
      const { seat } = await sit(under.engine, appId, "A", { sid: "s" });
      const { answer } = await tryToSit(under.engine, appId, "A", { sid: "s", how: "free" });
      expect(answer).toEqual({ outcome: "busy", token: seat.token });
    });

    test.each([
      ["s", "other"],
      ["s", ""],
      ["", "s"],
      ["", ""],
    ])("an occupant with sid %p is safe from a newcomer with sid %p", async (old, sid) => {
      await using under = await make();
      const appId = newAppId();
      const { seat } = await sit(under.engine, appId, "A", { sid: old });
      const { answer } = await tryToSit(under.engine, appId, "A", { sid, how: "same_sid" });
      expect(answer).toEqual({ outcome: "busy", token: seat.token });
    });

    test("of 32 racing holders of one sid one takes the seat over", async () => {
      await using under = await make();
      const appId = newAppId();
      const old = await sit(under.engine, appId, "A", { sid: "s" });
      const tries = await race(32, () => tryToSit(under.engine, appId, "A", bySid));
      expect(tries.filter(({ answer }) => answer.outcome === "taken")).toHaveLength(1);
      await old.listener.hears("replaced same_sid");
    });

    test("a seat taken over is guarded, and the guard ends by itself", async () => {
      await using under = await make();
      const appId = newAppId();
      await sit(under.engine, appId, "A", { sid: "s" });
      expect(await outcome(under, appId)).toBe("taken");
      expect(await outcome(under, appId)).toBe("busy");
      await under.advance(takeoverGuardMs);
      expect(await outcome(under, appId)).toBe("taken");
    });

    test("a guard that is contested doubles each time, up to its greatest span", async () => {
      await using under = await make();
      const appId = newAppId();
      await sit(under.engine, appId, "A", { sid: "s" });
      expect(await outcome(under, appId)).toBe("taken");
      for (const times of [1, 2, 4, 8, 16, 32]) {
        await expectGuard(under, appId, takeoverGuardMs * times);
      }
      await expectGuard(under, appId, takeoverGuardMaxMs);
      await expectGuard(under, appId, takeoverGuardMaxMs);
    });

    test("a guard that nobody contested brings the span back to the first", async () => {
      await using under = await make();
      const appId = newAppId();
      await sit(under.engine, appId, "A", { sid: "s" });
      expect(await outcome(under, appId)).toBe("taken");
      await expectGuard(under, appId, takeoverGuardMs);
      await expectGuard(under, appId, takeoverGuardMs * 2);
      await under.advance(takeoverGuardMs * 4);
      expect(await outcome(under, appId)).toBe("taken");
      await expectGuard(under, appId, takeoverGuardMs);
    });

    test("one side's guard does not concern the other side", async () => {
      await using under = await make();
      const appId = newAppId();
      await sit(under.engine, appId, "A", { sid: "s" });
      await sit(under.engine, appId, "B", { sid: "s" });
      expect(await outcome(under, appId)).toBe("taken");
      expect((await tryToSit(under.engine, appId, "B", bySid)).answer.outcome).toBe("taken");
    });

    test("a free seat is taken whatever the guard says", async () => {
      await using under = await make();
      const appId = newAppId();
      await sit(under.engine, appId, "A", { sid: "s" });
      const { seat } = await sit(under.engine, appId, "A", bySid);
      await under.engine.seats.leave(seat);
      expect(await outcome(under, appId)).toBe("taken");
    });
  });

  describe("takeover from the dead", () => {
    test("the exact token takes the seat over, whatever the sids", async () => {
      await using under = await make();
      const { appId, a, b } = await pair(under.engine);
      await sit(under.engine, appId, "A", { sid: "new", how: { dead: a.seat.token } });
      await a.listener.hears("replaced dead");
      await b.listener.until("peerJoined");
    });

    test("any other token takes nothing over", async () => {
      await using under = await make();
      const { appId, a, b } = await pair(under.engine);
      for (const dead of [a.seat.token - 1, a.seat.token + 100, b.seat.token]) {
        const { answer } = await tryToSit(under.engine, appId, "A", { how: { dead } });
        expect(answer).toEqual({ outcome: "busy", token: a.seat.token });
      }
    });

    test("of 32 that found the same occupant dead one gets its seat", async () => {
      await using under = await make();
      const { appId, a } = await pair(under.engine);
      const how = { dead: a.seat.token };
      const tries = await race(32, () => tryToSit(under.engine, appId, "A", { how }));
      expect(tries.filter(({ answer }) => answer.outcome === "taken")).toHaveLength(1);
      await a.listener.hears("replaced dead");
    });

    test("a seat that became free meanwhile is taken all the same", async () => {
      await using under = await make();
      const { appId, a } = await pair(under.engine);
      await under.engine.seats.leave(a.seat);
      const { answer } = await tryToSit(under.engine, appId, "A", { how: { dead: a.seat.token } });
      expect(answer.outcome).toBe("taken");
    });
  });

  describe("a seat that was taken over", () => {
    async function takenOver(under: EngineUnderTest) {
      const { appId, a: old, b } = await pair(under.engine);
      const how = { dead: old.seat.token };
      const now = await sit(under.engine, appId, "A", { how });
      await old.listener.hears("replaced dead");
      await b.listener.until("peerJoined");
      return { appId, old, now, b };
    }

    test("cannot be left by its old holder", async () => {
      await using under = await make();
      const { appId, old, now } = await takenOver(under);
      expect(await under.engine.seats.leave(old.seat)).toBe(false);
      const { answer } = await tryToSit(under.engine, appId, "A");
      expect(answer).toEqual({ outcome: "busy", token: now.seat.token });
    });

    test("relays nothing of its old holder's, and is not started by it", async () => {
      await using under = await make();
      const { relay, seats } = under.engine;
      const { appId, a, b } = await pair(under.engine);
      await seats.leave(a.seat);
      expect(await relay.publish(b.seat, "for the new one", "ice")).toBe("held");
      const old = await sit(under.engine, appId, "A");
      const now = await sit(under.engine, appId, "A", { how: { dead: old.seat.token } });
      expect(await relay.publish(old.seat, "late", "ice")).toBe("replaced");
      await relay.start(old.seat, true);
      await relay.publish(now.seat, "first", "ice");
      await b.listener.until("relayed first");
      await relay.start(now.seat, false);
      await now.listener.hears("relayed for the new one");
    });

    test("relays nothing of its old holder's, also when all came at once", async () => {
      await using under = await make();
      const appId = newAppId();
      const [b, ...both] = await Promise.all([
        sit(under.engine, appId, "B"),
        sit(under.engine, appId, "A", bySid),
        sit(under.engine, appId, "A", bySid),
      ]);
      // Of two nodes either may come first.
      const [old, now] = both.toSorted((one, other) => one.seat.token - other.seat.token);
      if (!old || !now) throw new Error("no two takers");
      expect(await under.engine.relay.publish(old.seat, "late", "ice")).toBe("replaced");
      await under.engine.relay.publish(now.seat, "first", "ice");
      expect(await b.listener.until("relayed first")).not.toContain("relayed late");
    });

    test("drains nothing for its old holder", async () => {
      await using under = await make();
      const { old, now, b } = await takenOver(under);
      under.engine.relay.drained(old.seat);
      await under.engine.relay.publish(now.seat, "first", "ice");
      expect(await b.listener.until("relayed first")).toEqual([]);
    });

    test("sends, reads and acknowledges no mail for its old holder", async () => {
      await using under = await make();
      const { old, now, b } = await takenOver(under);
      const { mailboxes } = under.engine;
      await mailboxes.append(b.seat, "A", mail("1"));
      expect(await mailboxes.append(old.seat, "B", mail("2"))).toEqual({ outcome: "replaced" });
      expect(await mailboxes.append(old.seat, "A", mail("2", "id"))).toEqual({
        outcome: "replaced",
      });
      expect(await mailboxes.read(old.seat, 0, 1_000)).toEqual([]);
      await mailboxes.ack(old.seat, 1);
      expect(await mailboxes.hello(old.seat, 100)).toMatchObject({ moved: 0 });
      expect(await readAll(under.engine, now.seat)).toEqual(["1 1"]);
      expect(await readAll(under.engine, b.seat)).toEqual([]);
    });

    test("keeps what its old holder could not establish", async () => {
      await using under = await make();
      const { old, now } = await takenOver(under);
      expect(await under.engine.rooms.establish(old.seat)).toBeUndefined();
      expect(await under.engine.rooms.establish(now.seat)).toBeNumber();
    });

    test("tells its old holder nothing more", async () => {
      await using under = await make();
      const { old, now, b } = await takenOver(under);
      await under.engine.relay.start(now.seat, false);
      await under.engine.relay.publish(b.seat, "frame", "ice");
      await under.engine.mailboxes.append(b.seat, "A", mail("1"));
      await now.listener.until("relayed frame");
      await now.listener.until("mailStored");
      expect(old.listener.unheard).toEqual([]);
    });
  });
}
