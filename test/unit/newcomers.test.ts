import { expect, test } from "bun:test";
import type { Peer } from "../../src/signaling/peer.ts";
import { Tally } from "../../src/telemetry/tally.ts";
import { Flow } from "../../src/ws/flow.ts";
import { Newcomers, newcomerWaitMs } from "../../src/ws/newcomers.ts";
import { fakeClock } from "../support/clock.ts";
import { fakeLink } from "../support/fake-link.ts";

function setUp() {
  const clock = fakeClock();
  let timers = 0;
  const counting = {
    ...clock,
    after(ms: number, run: () => void) {
      timers++;
      return clock.after(ms, run);
    },
  };
  const limits = {
    wsBufferBytes: 1_000,
    wsBufferTotalBytes: 10_000,
    socketsPerClient: 0,
    slowPeerTimeoutMs: 1_000_000,
    wsMaxMsgBytes: 1_000,
  };
  const flow = new Flow(limits, new Tally(), { ...clock, every: () => () => {} });
  const newcomers = new Newcomers(counting);
  /** How long each waited, in the order in which they were let in. */
  const waits: number[] = [];
  const come = () => {
    const { link } = fakeLink(flow);
    const openedAt = clock.monotonicMs();
    link.openedAt = openedAt;
    const opened = () => waits.push(clock.monotonicMs() - openedAt);
    link.peer = { opened, closed() {} } as unknown as Peer;
    newcomers.add(link);
    return link;
  };
  return { clock, waits, come, timers: () => timers };
}

test("each newcomer is let in once, 50 to 55 ms after it came, with one timer for all", () => {
  const { clock, waits, come, timers } = setUp();
  for (let ms = 0; ms < 1_000; ms++) {
    for (let i = 0; i < 10; i++) come();
    clock.advance(1);
  }
  clock.advance(60);
  expect(waits).toHaveLength(10_000);
  expect(Math.min(...waits)).toBe(newcomerWaitMs);
  expect(Math.max(...waits)).toBeLessThanOrEqual(newcomerWaitMs + 5);
  expect(timers()).toBeLessThanOrEqual(1_000 / 5 + 1);
  clock.advance(1_000);
  expect(waits).toHaveLength(10_000);
});

test("one that is being closed is not let in", () => {
  const { clock, waits, come } = setUp();
  come().close(1001, "server going away", "shutdown");
  come();
  clock.advance(newcomerWaitMs);
  expect(waits).toEqual([newcomerWaitMs]);
});

test("one that comes after all others were let in waits as long as they did", () => {
  const { clock, waits, come } = setUp();
  come();
  clock.advance(1_000);
  come();
  clock.advance(newcomerWaitMs - 1);
  expect(waits).toHaveLength(1);
  clock.advance(1);
  expect(waits).toEqual([newcomerWaitMs, newcomerWaitMs]);
});
