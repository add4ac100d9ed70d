import { expect, test } from "bun:test";
import { startHeartbeat } from "../../src/ws/heartbeat.ts";
import type { PeerSocket } from "../../src/ws/peer-socket.ts";
import { fakeClock } from "../support/clock.ts";

// Pings that go out together have everybody's frames wait behind them.

const heartbeatMs = 10_000;

function setUp() {
  const clock = fakeClock();
  const heartbeat = startHeartbeat(heartbeatMs, clock);
  let pings = 0;
  return {
    clock,
    heartbeat,
    /** How many pings these ms bring, and how many of them 50 ms at most; `step` is called after each 50. */
    pass(ms: number, step: () => void = () => {}): readonly [all: number, most: number] {
      const before = pings;
      let most = 0;
      for (let passed = 0; passed < ms; passed += 50) {
        const earlier = pings;
        clock.advance(50);
        most = Math.max(most, pings - earlier);
        step();
      }
      return [pings - before, most];
    },
    add(sockets: number): void {
      const openedAt = clock.monotonicMs();
      for (let n = 0; n < sockets; n++) {
        const times = { openedAt, heardAt: openedAt, beatAt: 0, paused: 0, slot: 0 };
        heartbeat.add({ ...times, beats: () => pings++, terminate() {} } as unknown as PeerSocket);
      }
    },
  };
}

test("of many sockets few are pinged at a time", () => {
  const { add, pass } = setUp();
  pass(heartbeatMs * 0.9, () => add(10));
  pass(heartbeatMs);
  const [all, most] = pass(heartbeatMs * 0.9);
  expect(all).toBe(1_800);
  expect(most).toBeLessThanOrEqual(20);
});

test("sockets that open together are pinged one HEARTBEAT later, not all at once", () => {
  const { clock, add, pass } = setUp();
  add(160);
  expect(pass(heartbeatMs - 50)).toEqual([0, 0]);
  clock.advance(49);
  const [all, most] = pass(heartbeatMs / 10);
  expect(all).toBe(160);
  expect(most).toBeLessThanOrEqual(12);
});

test("sockets that are gone are not pinged, and not kept", () => {
  const { heartbeat, add, pass } = setUp();
  add(10);
  for (const socket of [...heartbeat.all()].slice(1)) heartbeat.remove(socket);
  expect(pass(2 * heartbeatMs)[0]).toBeWithin(1, 3);
  expect([...heartbeat.all()]).toHaveLength(1);
});
