import { describe, expect, test } from "bun:test";
import { newAppId } from "../../src/base/ids.ts";
import { entryCostBytes } from "../../src/engine/engine.ts";
import type { EngineUnderTest, MakeEngine } from "./engine-contract.ts";
import { contractLimits } from "./engine-contract.ts";
import { join, mail, pair, publishCongested, type Seated, sit } from "./seating.ts";

export function holdContract(make: MakeEngine): void {
  const { relayHoldMs } = contractLimits;

  /** A stays, B has just left. */
  async function left(under: EngineUnderTest) {
    const { appId, a, b } = await pair(under.engine);
    await under.engine.seats.leave(b.seat);
    await a.listener.hears("peerLeft");
    return { appId, a };
  }
  async function publish(under: EngineUnderTest, { seat }: Seated, ...frames: string[]) {
    const outcomes: string[] = [];
    for (const frame of frames) {
      const offer = frame.startsWith("offer");
      outcomes.push(await under.engine.relay.publish(seat, frame, offer ? "offer" : "ice"));
    }
    return outcomes;
  }
  const relayed = (...frames: string[]) => frames.map((frame) => `relayed ${frame}`);

  describe("the hold", () => {
    test("a side that left a moment ago finds what was sent meanwhile, in order", async () => {
      await using under = await make();
      const { appId, a } = await left(under);
      expect(await publish(under, a, "one", "two", "three")).toEqual(["held", "held", "held"]);
      const b = await sit(under.engine, appId, "B");
      expect(b.taken.held).toBe(3);
      expect(b.listener.unheard).toEqual([]);
      await under.engine.relay.start(b.seat, false);
      expect(await publish(under, a, "four")).toEqual(["delivered"]);
      await b.listener.hears(...relayed("one", "two", "three", "four"));
    });

    test("nothing is relayed to a seat that frames are held for before start, and all of it after", async () => {
      await using under = await make();
      const { appId, a } = await left(under);
      expect(await publish(under, a, "one")).toEqual(["held"]);
      const b = await sit(under.engine, appId, "B");
      expect(await publish(under, a, "two")).toEqual(["held"]);
      expect(b.listener.unheard).toEqual([]);
      await under.engine.relay.start(b.seat, false);
      await publish(under, a, "three");
      await b.listener.hears(...relayed("one", "two", "three"));
    });

    test("start with discard begins without what was held", async () => {
      await using under = await make();
      const { appId, a } = await left(under);
      await publish(under, a, "one", "two");
      const b = await sit(under.engine, appId, "B");
      await under.engine.relay.start(b.seat, true);
      await publish(under, a, "three");
      await b.listener.hears(...relayed("three"));
      expect(await under.dropped("stale")).toBe(2);
    });

    test("a side is held for until relayHoldMs after it left, and not from then on", async () => {
      await using under = await make();
      const { appId, a } = await left(under);
      await under.advance(relayHoldMs - 5_000);
      expect(await publish(under, a, "in time")).toEqual(["held"]);
      await under.advance(5_000);
      expect(await publish(under, a, "too late")).toEqual(["no_peer"]);
      const b = await join(under.engine, appId, "B");
      expect(b.taken.held).toBe(0);
      expect(await under.dropped("hold_expired")).toBe(1);
      await publish(under, a, "next");
      await b.listener.hears(...relayed("next"));
    });

    test("each time a side leaves, its hold begins anew", async () => {
      await using under = await make();
      const { appId, a } = await left(under);
      await under.advance(relayHoldMs);
      const b = await join(under.engine, appId, "B");
      await under.engine.seats.leave(b.seat);
      expect(await publish(under, a, "again")).toEqual(["held"]);
      const back = await join(under.engine, appId, "B");
      await back.listener.hears(...relayed("again"));
    });

    test("a hold of 0 ms holds nothing", async () => {
      await using under = await make({ relayHoldMs: 0 });
      const { appId, a } = await left(under);
      expect(await publish(under, a, "one")).toEqual(["no_peer"]);
      expect((await sit(under.engine, appId, "B")).taken.held).toBe(0);
    });

    test("both sides may come and go: each has a hold of its own", async () => {
      await using under = await make();
      const { appId, a, b } = await pair(under.engine);
      await publish(under, a, "seen");
      await under.engine.seats.leave(b.seat);
      await publish(under, a, "for B");
      await under.engine.seats.leave(a.seat);
      const back = await join(under.engine, appId, "B");
      expect(await publish(under, back, "for A")).toEqual(["held"]);
      const again = await join(under.engine, appId, "A");
      await again.listener.hears(...relayed("for A"));
      await back.listener.hears(...relayed("for B"), "peerJoined");
    });

    test("frames held for a seat that is lost before start wait for the next", async () => {
      await using under = await make();
      const { appId, a } = await left(under);
      await publish(under, a, "one");
      const brief = await sit(under.engine, appId, "B");
      await publish(under, a, "two");
      await under.engine.seats.leave(brief.seat);
      await publish(under, a, "three");
      const b = await join(under.engine, appId, "B");
      await b.listener.hears(...relayed("one", "two", "three"));
      expect(brief.listener.unheard).not.toContain("relayed one");
    });
  });

  describe("the hold's bounds", () => {
    test("holdMaxFrames frames are held, one more is refused, none is dropped for it", async () => {
      await using under = await make({ holdMaxFrames: 2 });
      const { appId, a } = await left(under);
      expect(await publish(under, a, "1", "2", "3")).toEqual(["held", "held", "hold_full"]);
      const b = await join(under.engine, appId, "B");
      await b.listener.hears(...relayed("1", "2"));
    });

    test("frames that do not wait for each other are held as if they did", async () => {
      await using under = await make({
        holdMaxFrames: 5,
        mailTotalBytes: 3 * entryCostBytes + 12,
      });
      const { appId, a } = await left(under);
      const { relay } = under.engine;
      const frames = ["1234", "5678", "1234", "5"];
      const together = frames.map(async (frame) => relay.publish(a.seat, frame, "ice"));
      expect(await Promise.all(together)).toEqual(["held", "held", "held", "hold_full"]);
      const b = await join(under.engine, appId, "B");
      await b.listener.hears(...relayed("1234", "5678", "1234"));
    });

    test("holdMaxBytes bytes of UTF-8 are held and no byte more", async () => {
      await using under = await make({ holdMaxBytes: 10 });
      const { appId, a } = await left(under);
      expect(await publish(under, a, "ééé", "12345", "1234", "1")).toEqual([
        "held",
        "hold_full",
        "held",
        "hold_full",
      ]);
      const b = await join(under.engine, appId, "B");
      await b.listener.hears(...relayed("ééé", "1234"));
    });

    test("the bound over everything held counts frames of all rooms, and mail", async () => {
      await using under = await make({ mailTotalBytes: 3 * entryCostBytes + 10 });
      const one = await left(under);
      const two = await left(under);
      expect(await publish(under, one.a, "1234")).toEqual(["held"]);
      await under.engine.mailboxes.append(two.a.seat, "B", mail("1234"));
      expect(await publish(under, two.a, "123")).toEqual(["hold_full"]);
      expect(await publish(under, two.a, "12")).toEqual(["held"]);
      await join(under.engine, one.appId, "B");
      expect(await publish(under, two.a, "1234")).toEqual(["held"]);
    });

    test("a seated side is started when its hold is full, and misses nothing", async () => {
      await using under = await make({ holdMaxFrames: 2 });
      const { appId, a } = await left(under);
      await publish(under, a, "1");
      const b = await sit(under.engine, appId, "B");
      expect(await publish(under, a, "2", "3", "4")).toEqual(["held", "delivered", "delivered"]);
      await b.listener.hears(...relayed("1", "2", "3", "4"));
    });

    test("a seated side started by a full hold may ask the sender to wait", async () => {
      await using under = await make({ holdMaxFrames: 1 });
      const { appId, a } = await left(under);
      expect(await publish(under, a, "1")).toEqual(["held"]);
      const b = await sit(under.engine, appId, "B");
      b.listener.congested = true;
      await a.listener.hears("peerJoined");
      await publishCongested(under.engine, a, "2");
      await b.listener.hears(...relayed("1", "2"));
    });
  });

  describe("a stale negotiation", () => {
    test("an offer from a later connection discards what earlier ones had held", async () => {
      await using under = await make();
      const { appId, a } = await left(under);
      await publish(under, a, "offer 1", "ice 1");
      await under.engine.seats.leave(a.seat);
      const later = await join(under.engine, appId, "A");
      expect(await publish(under, later, "ice 2", "offer 2", "ice 3")).toEqual(
        Array(3).fill("held"),
      );
      const b = await join(under.engine, appId, "B");
      await b.listener.hears(...relayed("ice 2", "offer 2", "ice 3"));
      expect(await under.dropped("stale")).toBe(2);
    });

    test("an offer keeps what its own connection had held before it", async () => {
      await using under = await make();
      const { appId, a } = await left(under);
      await publish(under, a, "ice 1", "offer 1", "offer 2");
      const b = await join(under.engine, appId, "B");
      await b.listener.hears(...relayed("ice 1", "offer 1", "offer 2"));
    });

    test("other frames from a later connection discard nothing", async () => {
      await using under = await make();
      const { appId, a } = await left(under);
      await publish(under, a, "offer 1");
      await under.engine.seats.leave(a.seat);
      const later = await join(under.engine, appId, "A");
      await publish(under, later, "ice 2");
      const b = await join(under.engine, appId, "B");
      await b.listener.hears(...relayed("offer 1", "ice 2"));
    });

    test("an offer discards also while the other side is seated and not started", async () => {
      await using under = await make();
      const { appId, a } = await left(under);
      await publish(under, a, "offer 1");
      const b = await sit(under.engine, appId, "B");
      await under.engine.seats.leave(a.seat);
      const later = await join(under.engine, appId, "A");
      await publish(under, later, "offer 2");
      await under.engine.relay.start(b.seat, false);
      expect(await b.listener.until("relayed offer 2")).not.toContain("relayed offer 1");
    });

    test("an offer makes space for itself: the earlier frames no longer count", async () => {
      await using under = await make({ holdMaxFrames: 2 });
      const { appId, a } = await left(under);
      await publish(under, a, "offer 1", "ice 1");
      await under.engine.seats.leave(a.seat);
      const later = await join(under.engine, appId, "A");
      expect(await publish(under, later, "offer 2", "ice 2", "ice 3")).toEqual([
        "held",
        "held",
        "hold_full",
      ]);
    });

    test.each([
      ["s", "s", 1],
      ["", "", 1],
      ["s", "t", 0],
      ["s", "", 0],
      ["", "s", 0],
    ])("a side that left with sid %p and returns with %p finds %p frames", async (old, sid, n) => {
      await using under = await make();
      const appId = newAppId();
      const a = await join(under.engine, appId, "A");
      const b = await join(under.engine, appId, "B", { sid: old });
      await under.engine.seats.leave(b.seat);
      await publish(under, a, "for the one that left");
      const back = await join(under.engine, appId, "B", { sid });
      expect(back.taken.held).toBe(n);
      expect(await under.dropped("stale")).toBe(1 - n);
      await publish(under, a, "next");
      expect(await back.listener.until("relayed next")).toHaveLength(n);
    });
  });
}
