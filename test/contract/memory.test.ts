import { expect, test } from "bun:test";
import type { EngineLimits } from "../../src/engine/engine.ts";
import { memoryEngine } from "../../src/engine/memory/memory.ts";
import { fakeClock } from "../support/clock.ts";
import { contractLimits, type EngineUnderTest, engineContract } from "./engine-contract.ts";
import { mint, pair, sit, take } from "./seating.ts";

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

test("memory: every verb answers at once and tells its listeners in the same turn", async () => {
  await using under = await make();
  const { a, b } = await pair(under.engine);
  const { engine } = under;
  expect(engine.relay.publish(a.seat, "now", "ice")).toBe("delivered");
  expect(b.listener.unheard).toEqual(["relayed now"]);
  const mail = { payload: "1", id: undefined, strict: false };
  expect(engine.mailboxes.append(a.seat, "B", mail)).not.toBeInstanceOf(Promise);
  expect(b.listener.unheard).toEqual(["relayed now", "mailStored"]);
  expect(engine.seats.leave(a.seat)).toBe(true);
  expect(b.listener.unheard).toEqual(["relayed now", "mailStored", "peerLeft"]);
});
