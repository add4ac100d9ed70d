import { describe, expect, test } from "bun:test";
import type { Account } from "../../src/base/account.ts";
import { pauseReasons } from "../../src/signaling/context.ts";
import { Tally } from "../../src/telemetry/tally.ts";
import {
  backpressureLimit,
  closingMs,
  Flow,
  type FlowLimits,
  lingerMs,
} from "../../src/ws/flow.ts";
import { fakeClock } from "../support/clock.ts";
import { type FakeLink, fakeLink } from "../support/fake-link.ts";

const { slowPeer, inbox } = pauseReasons;

function setUp(limits: Partial<FlowLimits> = {}) {
  const clock = fakeClock();
  const tally = new Tally();
  const all: FlowLimits = {
    wsBufferBytes: 1_000,
    wsBufferTotalBytes: 1_000_000,
    socketsPerClient: 0,
    slowPeerTimeoutMs: 30_000,
    wsMaxMsgBytes: 10_000,
    ...limits,
  };
  const flow = new Flow(all, tally, clock);
  const add = () => fakeLink(flow);
  const addOf = (...accounts: readonly Account[]) => fakeLink(flow, accounts);
  return { clock, tally, flow, add, addOf };
}

const text = (bytes: number) => "x".repeat(bytes);
const closedAsSlow = "close 1013 slow peer";

describe("a receiver", () => {
  test("takes frames until more is unsent than the high mark, then presses its sender", () => {
    const { add } = setUp();
    const { link } = add();
    expect([link.relay(text(1_000)), link.congested]).toEqual([1_000, false]);
    expect([link.relay(text(1)), link.congested]).toEqual([1, false]);
    expect([link.relay(text(1)), link.congested]).toEqual([1, true]);
  });

  test("accepts the frame all the same when it is congested", () => {
    const { add } = setUp();
    const { link, ws } = add();
    link.relay(text(2_000));
    link.relay(text(500));
    expect(ws.buffered).toBe(2_500);
    expect(ws.calls).toEqual([]);
  });

  test.each([
    [251, []],
    [250, [true]],
    [0, [true]],
  ])("that was congested and has %p bytes left tells its peer %p", (buffered, told) => {
    const { flow, add } = setUp();
    const { link, ws, drained } = add();
    link.relay(text(1_001));
    link.relay(text(1));
    ws.buffered = buffered;
    flow.drained(link);
    expect(drained).toEqual(told);
  });

  test("lets its sender go on once, however often it drains", () => {
    const { flow, add } = setUp();
    const { link, ws, drained } = add();
    link.relay(text(1_001));
    link.relay(text(1));
    ws.buffered = 200;
    flow.drained(link);
    ws.buffered = 0;
    flow.drained(link);
    expect(drained).toEqual([true, false]);
  });

  test("that was not congested tells its peer that there is room for mail", () => {
    const { flow, add } = setUp();
    const { link, ws, drained } = add();
    link.send(text(600));
    expect(link.hasRoom()).toBe(false);
    ws.buffered = 100;
    flow.drained(link);
    expect(link.hasRoom()).toBe(true);
    expect(drained).toEqual([false]);
  });

  test("is seen to have drained at the next tick, even if the runtime doesn't say so", () => {
    const { clock, add } = setUp();
    const { link, ws, drained } = add();
    link.relay(text(1_001));
    link.relay(text(1));
    ws.buffered = 0;
    clock.advance(1_000);
    expect(drained).toEqual([true]);
  });

  test("that takes no byte for the timeout is closed, and not a tick early", () => {
    const { clock, tally, add } = setUp();
    const { link, ws } = add();
    link.send(text(10));
    clock.advance(29_000);
    expect(ws.calls).toEqual([]);
    clock.advance(2_000);
    expect(link.closeReason).toBe("slow_peer");
    expect(tally.drops.slow_peer).toBe(1);
  });

  test("that takes a byte now and then is not closed", () => {
    const { clock, add } = setUp();
    const { link, ws } = add();
    link.send(text(100));
    for (let turn = 0; turn < 10; turn++) {
      clock.advance(25_000);
      ws.buffered--;
    }
    expect(ws.calls).toEqual([]);
  });

  test("that drained and was sent to much later has the whole timeout again", () => {
    const { clock, add } = setUp();
    const { link, ws } = add();
    link.send(text(10));
    ws.buffered = 0;
    clock.advance(300_000);
    link.send(text(10));
    clock.advance(28_000);
    expect(ws.calls).toEqual([]);
  });

  test("that takes bytes is not closed, though more are queued than it takes", () => {
    const { clock, flow, add } = setUp();
    const { link, ws } = add();
    link.send(text(10));
    for (let second = 0; second < 60; second++) {
      link.relay(text(10));
      ws.buffered -= 9;
      flow.drained(link);
      clock.advance(1_000);
    }
    expect(ws.calls).toEqual([]);
  });
});

describe("a paused sender", () => {
  test("is read again when no reason is left", () => {
    const { tally, add } = setUp();
    const { link, ws } = add();
    link.pause(slowPeer);
    link.pause(inbox);
    link.pause(inbox);
    link.resume(slowPeer);
    expect(ws.calls).toEqual(["pause"]);
    expect(tally.pausedSockets).toBe(1);
    link.resume(inbox);
    expect(ws.calls).toEqual(["pause", "resume"]);
    expect(tally.pausedSockets).toBe(0);
  });

  test("is not resumed by what it was not paused for", () => {
    const { add } = setUp();
    const { link, ws } = add();
    link.resume(slowPeer);
    link.pause(slowPeer);
    link.resume(inbox);
    expect(ws.calls).toEqual(["pause"]);
  });

  test("is read for a turn, until it is told to pause again", () => {
    const { add } = setUp();
    const { link, ws } = add();
    link.pause(slowPeer);
    link.readForATurn();
    link.readForATurn();
    expect(ws.calls).toEqual(["pause", "resume"]);
    link.pause(slowPeer);
    link.pause(slowPeer);
    expect(ws.calls).toEqual(["pause", "resume", "pause"]);
  });

  test("whose last reason goes during its turn just goes on", () => {
    const { tally, add } = setUp();
    const { link, ws } = add();
    link.pause(slowPeer);
    link.readForATurn();
    link.resume(slowPeer);
    expect(ws.calls).toEqual(["pause", "resume"]);
    expect(tally.pausedSockets).toBe(0);
    link.pause(slowPeer);
    expect(ws.calls).toEqual(["pause", "resume", "pause"]);
  });

  test("takes its turn after the others have taken theirs, and not at the same moment", () => {
    const { clock, flow, add } = setUp();
    const all = Array.from({ length: 250 }, add);
    for (const { link } of all) flow.pause(link, slowPeer);
    const turns = () => all.filter(({ ws }) => ws.calls.includes("resume")).length;
    const startedAt = clock.monotonicMs();
    clock.advance(5_000);
    for (let taken = 1; taken < all.length; taken++) {
      expect(turns()).toBe(taken);
      clock.advance(500);
    }
    expect(turns()).toBe(all.length);
    expect(clock.monotonicMs() - startedAt).toBe(5_000 + 249 * 500);
  });

  test("that is not paused has no turn to take", () => {
    const { add } = setUp();
    const { link, ws } = add();
    link.readForATurn();
    expect(ws.calls).toEqual([]);
  });

  test.each([30_000, 20_000, 3_000, 1_000, 100])(
    "with a timeout of %p ms is read for a turn at least every 5 s",
    (slowPeerTimeoutMs) => {
      const { clock, add } = setUp({ slowPeerTimeoutMs });
      const { link, ws } = add();
      for (let turn = 1; turn <= 5; turn++) {
        link.pause(slowPeer);
        clock.advance(5_000);
        expect(ws.calls.filter((call) => call === "resume")).toHaveLength(turn);
      }
    },
  );
});

describe("all sockets together", () => {
  test("past wsBufferTotalBytes the fullest is closed, and only that", () => {
    const { tally, add } = setUp({ wsBufferTotalBytes: 1_000 });
    const [small, big, last] = [add(), add(), add()];
    small.link.send(text(300));
    big.link.send(text(500));
    last.link.send(text(200));
    expect([small, big, last].flatMap(({ ws }) => ws.calls)).toEqual([]);
    last.link.send(text(1));
    expect(big.link.closeReason).toBe("buffers_full");
    expect([...small.ws.calls, ...last.ws.calls]).toEqual([]);
    // What the runtime still has for it counts.
    expect(tally.bufferedBytes).toBe(1_001);
  });

  test("and cut, if more is unsent before it has taken its own", () => {
    const { tally, add } = setUp({ wsBufferTotalBytes: 1_000 });
    const [big, last] = [add(), add()];
    big.link.send(text(700));
    last.link.send(text(301));
    expect(big.ws.calls).toEqual(["pause"]);
    last.link.send(text(1));
    expect(big.ws.calls).toEqual(["pause", "resume", "terminate"]);
    expect(tally.closes.buffers_full).toBe(1);
    expect(tally.bufferedBytes).toBe(302);
  });

  test("bufferedBytes is what all sockets have unsent, as last seen", () => {
    const { tally, flow, add } = setUp();
    const [one, two] = [add(), add()];
    one.link.send(text(100));
    two.link.send(text(200));
    expect(tally.bufferedBytes).toBe(300);
    one.ws.buffered = 40;
    flow.drained(one.link);
    expect(tally.bufferedBytes).toBe(240);
    flow.forget(two.link);
    flow.forget(two.link);
    expect(tally.bufferedBytes).toBe(40);
  });

  test("a forgotten socket is no longer closed, nor counted as paused, and reads to its end", () => {
    const { clock, tally, flow, add } = setUp();
    const { link, ws } = add();
    link.send(text(100));
    link.pause(slowPeer);
    flow.forget(link);
    expect(ws.calls).toEqual(["pause", "resume"]);
    expect(tally.pausedSockets).toBe(0);
    clock.advance(120_000);
    expect(ws.calls).toEqual(["pause", "resume"]);
  });

  test("a socket forgotten during its turn is not resumed twice", () => {
    const { flow, add } = setUp();
    const { link, ws } = add();
    link.pause(slowPeer);
    link.readForATurn();
    flow.forget(link);
    expect(ws.calls).toEqual(["pause", "resume"]);
  });

  test("a frame that the runtime would not queue closes the socket and is counted", () => {
    const { tally, flow, add } = setUp();
    const { link, ws } = add();
    flow.overrun(link);
    expect(ws.calls).toEqual([closedAsSlow]);
    expect(tally.drops.overrun).toBe(1);
  });

  test("a relayed frame that makes its own receiver the fullest is no overrun", () => {
    const { tally, add } = setUp({ wsBufferTotalBytes: 1_000 });
    const { link, ws } = add();
    link.relay(text(1_001));
    link.relay(text(1));
    expect(link.closeReason).toBe("buffers_full");
    expect(ws.buffered).toBe(1_001);
    expect(tally.drops.overrun).toBe(0);
  });

  test("nobody waits for a socket that is closed, nor is it told to wait", () => {
    const { tally, add } = setUp({ wsBufferTotalBytes: 3_000 });
    const { link } = add();
    link.relay(text(2_000));
    link.relay(text(1_001));
    expect(link.congested).toBe(true);
    link.relay(text(1));
    expect([link.closeReason, link.congested]).toEqual(["buffers_full", false]);
    link.pause(slowPeer);
    expect(tally.pausedSockets).toBe(0);
  });

  test("a stopped flow looks at nobody", () => {
    const { clock, flow, add } = setUp();
    const { link, ws } = add();
    link.send(text(100));
    flow.stop();
    clock.advance(300_000);
    expect(ws.calls).toEqual([]);
  });
});

describe("a socket that is closed", () => {
  const close = ({ link }: FakeLink) => link.close("busy");

  test("is closed at once when it has taken everything", () => {
    const { add } = setUp();
    const one = add();
    close(one);
    expect(one.ws.calls).toEqual(["close 1008 side A busy"]);
  });

  test("has time to take what is unsent, so that it reads why, and counts meanwhile", () => {
    const { clock, flow, tally, add } = setUp();
    const one = add();
    one.link.send(text(100));
    close(one);
    expect(one.link.send(text(1))).toBe(0);
    clock.advance(closingMs - 1_000);
    expect([one.ws.calls, tally.bufferedBytes]).toEqual([["pause"], 100]);
    one.ws.buffered = 0;
    flow.drained(one.link);
    expect(one.ws.calls).toEqual(["pause", "resume", "close 1008 side A busy"]);
    expect(tally.bufferedBytes).toBe(0);
    clock.advance(closingMs);
    expect(one.ws.calls).toHaveLength(3);
  });

  test("is cut when that takes too long", () => {
    const { clock, tally, add } = setUp();
    const one = add();
    one.link.send(text(100));
    close(one);
    clock.advance(closingMs + 1_000);
    expect(one.ws.calls).toEqual(["pause", "resume", "terminate"]);
    expect([tally.bufferedBytes, tally.closes.busy]).toEqual([0, 1]);
  });

  test("by its client counts for as long as the runtime keeps what it did not read", () => {
    const { clock, flow, tally, add } = setUp();
    const [closed, broken] = [add(), add()];
    for (const { link } of [closed, broken]) link.send(text(100));
    flow.closed(closed.link, false);
    flow.closed(broken.link, true);
    expect(tally.bufferedBytes).toBe(100);
    clock.advance(lingerMs);
    expect(tally.bufferedBytes).toBe(0);
  });
});

describe("of all that may be unsent", () => {
  const limits = { wsBufferBytes: 100, wsBufferTotalBytes: 8_000, socketsPerClient: 1_000 };
  const client = (key: string) => ({ key, kind: "client" }) as const;
  const site = { key: "site", kind: "site" } as const;

  test("a client has an eighth: past it the fullest of its own is closed, not another's", () => {
    const { tally, addOf } = setUp(limits);
    const other = addOf(client("other"));
    other.link.send(text(900));
    const own = Array.from({ length: 5 }, () => addOf(client("a")));
    for (const [i, { link }] of own.entries()) link.send(text(200 + (i === 2 ? 0 : -i)));
    expect(own.flatMap(({ ws }) => ws.calls)).toEqual([]);
    own[4]?.link.send(text(10));
    expect(own.map(({ ws }) => ws.calls)).toEqual([[], [], [], [], ["pause"]]);
    expect(other.ws.calls).toEqual([]);
    expect(own[4]?.link.closeReason).toBe("client_buffers_full");
    expect(tally.bufferedBytes).toBe(900 + 200 + 199 + 200 + 197 + 206);
  });

  test("a site has half, however many networks it has", () => {
    const { tally, addOf } = setUp(limits);
    const all = Array.from({ length: 20 }, (_, i) => addOf(client(`net ${i}`), site));
    for (const { link } of all) {
      link.send(text(500));
      // And what is unsent to one that closes.
      expect(tally.bufferedBytes).toBeLessThanOrEqual(4_500);
    }
    expect(all.filter(({ link }) => link.closeReason === undefined)).toHaveLength(8);
  });

  test("one socket's buffer is never more than a share", () => {
    const { addOf } = setUp({ ...limits, wsBufferBytes: 2_000 });
    const { link, ws } = addOf(client("a"));
    link.send(text(2_000));
    expect(ws.calls).toEqual([]);
    link.send(text(1));
    expect(link.closeReason).toBe("client_buffers_full");
  });

  test("what is sent at last leaves nothing behind that counts against its client", () => {
    const { flow, addOf } = setUp(limits);
    for (let turn = 0; turn < 100; turn++) {
      const { link, ws } = addOf(client("a"), site);
      link.send(text(900));
      if (turn % 2 === 0) {
        ws.buffered = 0;
        flow.drained(link);
      }
      flow.forget(link);
      expect(ws.calls).toEqual([]);
    }
  });

  test("where a client has no limit on its sockets, it has no share of this either", () => {
    const { addOf } = setUp({ ...limits, socketsPerClient: 0 });
    const { link, ws } = addOf(client("a"));
    link.send(text(8_000));
    expect(ws.calls).toEqual([]);
  });
});

test.each([
  [262_144, 65_536, 30_000],
  [1, 1, 100],
  [1_000, 1_048_576, 1_000],
])(
  "the runtime may queue a full buffer, two frames and a chunk more (%p, %p, %p)",
  (...[b, m, t]) => {
    const limit = backpressureLimit({
      wsBufferBytes: b,
      wsBufferTotalBytes: 0,
      socketsPerClient: 0,
      wsMaxMsgBytes: m,
      slowPeerTimeoutMs: t,
    });
    expect(limit).toBeGreaterThanOrEqual(b + 2 * m + 1_048_576);
  },
);
