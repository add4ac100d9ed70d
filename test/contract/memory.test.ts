import { expect, test } from "bun:test";
import { newAppId } from "../../src/base/ids.ts";
import type { EngineLimits } from "../../src/engine/engine.ts";
import { memoryEngine } from "../../src/engine/memory/memory.ts";
import { fakeClock } from "../support/clock.ts";
import { contractLimits, type EngineUnderTest, engineContract } from "./engine-contract.ts";
import { join, mail, mint, pair, sit, take, tryToSit } from "./seating.ts";

async function make(limits: Partial<EngineLimits> = {}): Promise<EngineUnderTest> {
  const clock = fakeClock();
  const drops = { stale: 0, hold_expired: 0, room_forgotten: 0 };
  const engine = memoryEngine({
    now: clock.now,
    limits: { ...contractLimits, ...limits },
    dropped: (reason, count) => {
      drops[reason] += count;
    },
  });
  return {
    engine,
    advance: clock.advance,
    dropped: (reason) => drops[reason],
    [Symbol.asyncDispose]: () => engine.close(),
  };
}

engineContract("memory", make);

// Time stands still here unless moved, so moments can be told to the millisecond.

test("memory: a code lives to the last millisecond before its expiry", async () => {
  await using under = await make();
  await mint(under.engine, "1111", { ttlMs: 60_000 });
  await mint(under.engine, "2222", { ttlMs: 60_000 });
  await under.advance(59_999);
  expect(await take(under.engine, "1111")).toBeDefined();
  await under.advance(1);
  expect(await take(under.engine, "2222")).toBeUndefined();
});

test("memory: a room is forgotten at the millisecond at which its time is over", async () => {
  await using under = await make();
  for (const [waitMs, firstPair] of [
    [contractLimits.relayHoldMs - 1, false],
    [contractLimits.relayHoldMs, true],
  ] as const) {
    const { appId, a, b } = await pair(under.engine);
    await under.engine.seats.leave(a.seat);
    await under.engine.seats.leave(b.seat);
    await under.advance(waitMs);
    await sit(under.engine, appId, "A");
    expect((await sit(under.engine, appId, "B")).taken).toMatchObject({ firstPair });
  }
});

test("memory: refusing a room looks at no other rooms, however many are full of mail", async () => {
  const clock = fakeClock();
  let looks = 0;
  const engine = memoryEngine({
    now() {
      looks++;
      return clock.now();
    },
    limits: { ...contractLimits, maxRooms: 400 },
    dropped() {},
  });
  for (let n = 0; n < 200; n++) {
    const { seat } = await sit(engine, newAppId(), "A");
    engine.mailboxes.append(seat, "B", mail("1"));
    engine.seats.leave(seat);
  }
  const comes = async () => (await tryToSit(engine, newAppId(), "A")).answer.outcome;
  expect(await comes()).toBe("full");
  looks = 0;
  for (let n = 0; n < 100; n++) expect(await comes()).toBe("full");
  expect(looks).toBeLessThan(1_000);
  await clock.advance(contractLimits.roomTtlMs);
  expect(await comes()).toBe("taken");
});

test("memory: every verb answers at once and tells its listeners in the same turn", async () => {
  await using under = await make();
  const { a, b } = await pair(under.engine);
  const { engine } = under;
  expect(engine.relay.publish(a.seat, "now", "ice")).toBe("delivered");
  expect(b.listener.unheard).toEqual(["relayed now"]);
  expect(engine.mailboxes.append(a.seat, "B", mail("1"))).not.toBeInstanceOf(Promise);
  expect(b.listener.unheard).toEqual(["relayed now", "mailStored"]);
  expect(engine.seats.leave(a.seat)).toBe(true);
  expect(b.listener.unheard).toEqual(["relayed now", "mailStored", "peerLeft"]);
});

test("memory: a verb that throws half-way changes nothing, and tells nobody anything later", async () => {
  await using under = await make();
  const { engine } = under;
  const { appId, a, b } = await pair(engine);
  await engine.seats.leave(b.seat);
  await engine.relay.publish(a.seat, "held", "ice");
  await engine.seats.leave(a.seat);
  const later = await join(engine, appId, "A");
  const before = engine.sizes();
  const nothing = undefined as unknown as string;
  expect(() => engine.mailboxes.append(later.seat, "A", mail(nothing, "id"))).toThrow(TypeError);
  expect(() => engine.relay.publish(later.seat, nothing, "offer")).toThrow(TypeError);
  const nobody = { sid: "", listener: later.listener };
  const accounts = null as unknown as [];
  const newcomer = { appId: newAppId(), side: "A", accounts, ...nobody } as const;
  expect(() => engine.seats.take(newcomer, "free")).toThrow(TypeError);
  expect(engine.sizes()).toEqual(before);
  expect(await under.dropped("stale")).toBe(0);
  expect(engine.mailboxes.append(later.seat, "A", mail("1", "id"))).toMatchObject({ seq: 1 });
  expect(later.listener.unheard).toEqual(["mailStored"]);
});
