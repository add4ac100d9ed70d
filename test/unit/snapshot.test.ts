import { expect, test } from "bun:test";
import fc from "fast-check";
import { type AppId, newAppId, otherSide, type Side } from "../../src/base/ids.ts";
import { entryCostBytes, type Seat } from "../../src/engine/engine.ts";
import { type MemoryEngine, memoryEngine } from "../../src/engine/memory/memory.ts";
import { RecordingListener } from "../contract/listener.ts";
import {
  Life,
  type RandomVerb,
  shortText,
  tightLimits,
  verbsWith,
} from "../contract/random-verbs.ts";
import { fakeClock } from "../support/clock.ts";

function newEngine(now: () => number): MemoryEngine {
  return memoryEngine({ now, limits: tightLimits, dropped() {} });
}

/** Each record as the text that a file would have of it. */
function saved(engine: MemoryEngine): readonly string[] {
  return Array.from(engine.snapshot(), (record) => JSON.stringify(record));
}

function restore(engine: MemoryEngine, lines: readonly string[]): void {
  for (const line of lines) engine.restore(JSON.parse(line));
}

/** Not of what is not saved: held frames, and the misses of an account. */
const verbs = fc
  .array(verbsWith(shortText), { maxLength: 40 })
  .map((some) =>
    some
      .filter((one) => one.do !== "publish")
      .map((one) => (one.do === "redeem" ? { ...one, client: 0 } : one)),
  );

/** Everybody comes, and reads what there is. */
const all: readonly RandomVerb[] = [0, 1, 2].flatMap((room) =>
  (["A", "B"] as const).flatMap((side): RandomVerb[] => [
    { do: "sit", room, side, sid: "s", client: 0, how: "free" },
    { do: "read", room, side, isOld: false, after: 0, maxBytes: 10_000 },
  ]),
);

test("an engine restored from the text of a snapshot answers as the one it was taken of", async () => {
  const downMs = fc.constantFrom(0, 5_000, 20_000, 300_000, 700_000);
  const property = fc.asyncProperty(verbs, downMs, verbs, async (before, ms, after) => {
    const clock = fakeClock();
    const engine = newEngine(clock.now);
    const lived = new Life(engine, clock.advance);
    await lived.mint();
    for (const one of before) await lived.take(one);
    await lived.leaveAll();
    const text = saved(engine);
    clock.advance(ms);
    const heirs = newEngine(clock.now);
    const heir = new Life(heirs, clock.advance, lived.appIds);
    restore(heirs, text);

    // What has expired is swept from both: from then on they are the same.
    expect(await heir.sizes()).toEqual(await lived.sizes());
    for (const one of [...after, ...all]) {
      const expected = await lived.take(one);
      const given = one.do === "wait" ? expected : await heir.take(one);
      expect([one, given]).toEqual([one, expected]);
      expect(await heir.sizes()).toEqual(await lived.sizes());
    }
  });
  await fc.assert(property, { numRuns: 300 });
});

test("a snapshot of a restored engine is the same text", async () => {
  const property = fc.asyncProperty(verbs, async (steps) => {
    const clock = fakeClock();
    const engine = newEngine(clock.now);
    const lived = new Life(engine, clock.advance);
    await lived.mint();
    for (const one of steps) await lived.take(one);
    await lived.leaveAll();
    engine.sweep();
    const text = saved(engine);
    const heir = newEngine(clock.now);
    restore(heir, text);
    const values = (lines: readonly string[]) => lines.map((line) => JSON.parse(line));
    expect(values(saved(heir))).toEqual(values(text));
  });
  await fc.assert(property, { numRuns: 200 });
});

function sit(engine: MemoryEngine, appId: AppId, side: Side, keys: readonly string[] = []): Seat {
  const newcomer = {
    ...{ appId, side, sid: "s", listener: new RecordingListener() },
    accounts: keys.map((key) => ({ key, kind: "client" as const })),
  };
  const taken = engine.seats.take(newcomer, "free");
  if (!("seat" in taken)) throw new Error("Got no seat");
  return taken.seat;
}

test("seats that are still taken when the snapshot is taken count as left at that moment", () => {
  const clock = fakeClock();
  const lived = newEngine(clock.now);
  const appId = newAppId();
  for (const side of ["A", "B"] as const) sit(lived, appId, side);
  clock.advance(60_000);
  const heir = newEngine(clock.now);
  restore(heir, saved(lived));
  expect(heir.sizes()).toMatchObject({ rooms: 1, peers: 0 });
  // A side that left just now has frames held for it.
  const seat = sit(heir, appId, "A");
  expect(heir.relay.publish(seat, "frame", "ice")).toBe("held");
  clock.advance(tightLimits.relayHoldMs);
  heir.sweep();
  expect(heir.sizes()).toMatchObject({ rooms: 1, peers: 1, heldFrames: 0 });
});

test("shares are known again: whoever had its share has it still, and gets it back with its mail", () => {
  const clock = fakeClock();
  const me = ["192.0.2.1"];
  const mail = { payload: `"${"x".repeat(300)}"`, id: "i", strict: false };
  const limits = {
    ...tightLimits,
    maxRooms: 16,
    mailboxMaxBytes: 4_000,
    mailTotalBytes: 24 * entryCostBytes,
  };
  const open = () => memoryEngine({ now: clock.now, limits, dropped() {} });
  const lived = open();
  const appId = newAppId();
  const side: Side = "A";
  lived.mailboxes.append(sit(lived, appId, side, me), otherSide(side), mail);
  const heir = open();
  restore(heir, saved(lived));

  expect(() => sit(heir, newAppId(), side, me)).toThrow("Got no seat");
  const [a, b] = [sit(heir, appId, "A", me), sit(heir, appId, "B", me)];
  const next = { ...mail, id: undefined };
  expect(heir.mailboxes.append(a, "B", next)).toEqual({ outcome: "share_full" });
  heir.mailboxes.ack(b, 1);
  expect(heir.mailboxes.append(a, "B", next)).toMatchObject({ outcome: "stored" });
});
