import { expect, test } from "bun:test";
import { Ledger } from "../../src/base/ledger.ts";
import { pauseReasons } from "../../src/signaling/context.ts";
import { Tally } from "../../src/telemetry/tally.ts";
import { Flow } from "../../src/ws/flow.ts";
import { leastSilenceMs, startHeartbeat } from "../../src/ws/heartbeat.ts";
import { type FakeClock, fakeClock } from "../support/clock.ts";
import { fakeLink } from "../support/fake-link.ts";

const heartbeatMs = 10_000;

function setUp(everyMs = heartbeatMs) {
  const clock = fakeClock();
  const limits = {
    wsBufferBytes: 1_000,
    slowPeerTimeoutMs: 1_000_000,
    wsMaxMsgBytes: 1_000,
  };
  const flow = new Flow(limits, new Ledger(10_000), new Tally(), {
    ...clock,
    every: () => () => {},
  });
  const heartbeat = startHeartbeat(everyMs, clock);
  const add = () => {
    const fake = fakeLink(flow);
    fake.link.openedAt = clock.monotonicMs();
    fake.link.heardAt = clock.monotonicMs();
    heartbeat.add(fake.link);
    fake.ws.onTerminate = () => heartbeat.remove(fake.link);
    return fake;
  };
  return { clock, heartbeat, add };
}

/** Lets time pass in small steps, `step` after each. */
function pass(clock: FakeClock, ms: number, step: () => void): void {
  for (let passed = 0; passed < ms; passed += 50) {
    clock.advance(50);
    step();
  }
}

test("every socket is pinged about once a round of 0.9 heartbeats, wherever it sits", () => {
  const { clock, add } = setUp();
  const fakes = Array.from({ length: 45 }, add);
  pass(clock, heartbeatMs * 0.9 * 10, () => {
    for (const { link } of fakes) link.heardAt = clock.monotonicMs();
  });
  for (const { ws } of fakes) {
    expect(ws.calls).toEqual(Array(ws.calls.length).fill("ping"));
    expect(ws.calls.length).toBeGreaterThanOrEqual(9);
    expect(ws.calls.length).toBeLessThanOrEqual(11);
  }
});

test("of many sockets few are pinged at a time", () => {
  const { clock, add } = setUp();
  const fakes: ReturnType<typeof add>[] = [];
  pass(clock, heartbeatMs * 0.9, () => fakes.push(...Array.from({ length: 10 }, add)));
  const pings = () => fakes.reduce((sum, { ws }) => sum + ws.calls.length, 0);
  pass(clock, heartbeatMs, () => {});
  const before = pings();
  clock.advance(50);
  expect(pings() - before).toBeLessThanOrEqual(20);
});

test("sockets that open together are pinged one HEARTBEAT later, not all at once", () => {
  const { clock, add } = setUp();
  const fakes = Array.from({ length: 160 }, add);
  let before = 0;
  let most = 0;
  clock.advance(heartbeatMs - 1);
  for (const { ws } of fakes) expect(ws.calls).toEqual([]);
  pass(clock, heartbeatMs / 10, () => {
    const pings = fakes.reduce((sum, { ws }) => sum + ws.calls.length, 0);
    most = Math.max(most, pings - before);
    before = pings;
  });
  expect(before).toBe(160);
  expect(most).toBeLessThanOrEqual(12);
});

test("a socket that is silent from the start is cut within two heartbeats, not before it was pinged", () => {
  const { clock, add } = setUp();
  const fakes = Array.from({ length: 40 }, add);
  clock.advance(heartbeatMs * 2);
  for (const { ws } of fakes) expect(ws.calls).toEqual(["ping", "terminate"]);
});

test("a socket that falls silent is cut within two heartbeats, whatever the moment", () => {
  const { clock, add } = setUp();
  const fakes = Array.from({ length: 40 }, add);
  pass(clock, heartbeatMs * 3, () => {
    for (const { link } of fakes) link.heardAt = clock.monotonicMs();
  });
  for (const { ws } of fakes) expect(ws.calls).not.toContain("terminate");
  clock.advance(heartbeatMs * 2);
  for (const { ws } of fakes) expect(ws.calls.filter((c) => c === "terminate")).toHaveLength(1);
});

test("one sign of life between two pings is enough", () => {
  const { clock, add } = setUp();
  const { link, ws } = add();
  let pings = 0;
  pass(clock, heartbeatMs * 10, () => {
    if (ws.calls.length > pings) link.heardAt = clock.monotonicMs();
    pings = ws.calls.length;
  });
  expect(ws.calls).not.toContain("terminate");
});

test("a socket that the server doesn't read from is pinged but not judged", () => {
  const { clock, add } = setUp();
  const { link, ws } = add();
  link.pause(pauseReasons.slowPeer);
  clock.advance(heartbeatMs * 10);
  expect(ws.calls).not.toContain("terminate");
  expect(ws.calls).toContain("ping");
});

test("a socket that is read again has a full round to show life", () => {
  const { clock, add } = setUp();
  const { link, ws } = add();
  link.pause(pauseReasons.slowPeer);
  clock.advance(heartbeatMs * 5);
  link.resume(pauseReasons.slowPeer);
  clock.advance(heartbeatMs * 0.9 - 1);
  expect(ws.calls).not.toContain("terminate");
  clock.advance(heartbeatMs * 2);
  expect(ws.calls).toContain("terminate");
});

test("a removed socket is neither pinged nor cut", () => {
  const { clock, heartbeat, add } = setUp();
  const [gone, stays] = [add(), add()];
  heartbeat.remove(gone.link);
  heartbeat.remove(gone.link);
  clock.advance(heartbeatMs * 3);
  expect(gone.ws.calls).toEqual([]);
  expect(stays.ws.calls).toEqual(["ping", "terminate"]);
});

test("a stopped heartbeat lets everybody be", () => {
  const { clock, heartbeat, add } = setUp();
  const { ws } = add();
  heartbeat.stop();
  clock.advance(heartbeatMs * 3);
  expect(ws.calls).toEqual([]);
});

test("a socket is not cut before it was silent for 4 s, however often it is pinged", () => {
  const { clock, add } = setUp(1_000);
  const { link, ws } = add();
  pass(clock, 10_000, () => {
    if (clock.monotonicMs() % 3_900 === 0) link.heardAt = clock.monotonicMs();
  });
  expect(ws.calls).not.toContain("terminate");
  link.heardAt = clock.monotonicMs();
  clock.advance(leastSilenceMs - 1);
  expect(ws.calls).not.toContain("terminate");
  clock.advance(1_000);
  expect(ws.calls.at(-1)).toBe("terminate");
});

test("what was sent counts as unread until a ping after it is answered", () => {
  const { clock, add } = setUp();
  const { link } = add();
  const answer = () => link.beatAnswered(link.beat, clock.monotonicMs());
  link.send("x".repeat(300));
  link.relay("x".repeat(200));
  expect(link.unreadBytes()).toBe(500);
  clock.advance(heartbeatMs + 100);
  link.relay("x".repeat(100));
  clock.advance(250);
  expect(answer()).toBe(true);
  expect(link.unreadBytes()).toBe(100);
  expect(link.roundTripMs).toBeGreaterThanOrEqual(250);
  expect(answer()).toBe(false);
  expect(link.beatAnswered("", clock.monotonicMs())).toBe(false);
});
