import { expect, test } from "bun:test";
import type { Account } from "../../src/base/account.ts";
import { Ledger } from "../../src/base/ledger.ts";
import { pauseReasons } from "../../src/signaling/context.ts";
import { Tally } from "../../src/telemetry/tally.ts";
import { closingMs, Flow, lingerMs } from "../../src/ws/flow.ts";
import { fakeClock } from "../support/clock.ts";
import { fakeLink } from "../support/fake-link.ts";

const { slowPeer, inbox } = pauseReasons;
const text = (bytes: number) => "x".repeat(bytes);

function setUp(total = 1_000_000, slowPeerTimeoutMs = 30_000) {
  const clock = fakeClock();
  const tally = new Tally();
  const limits = { wsBufferBytes: 1_000, slowPeerTimeoutMs, wsMaxMsgBytes: 10_000 };
  const flow = new Flow(limits, new Ledger(total), tally, clock);
  return { clock, tally, flow, add: (...of: readonly Account[]) => fakeLink(flow, of) };
}

test("a paused sender is read again when no reason is left, and for a turn between", () => {
  const { tally, add } = setUp();
  const { link, ws } = add();
  link.pause(slowPeer);
  link.pause(inbox);
  link.resume(slowPeer);
  expect([ws.calls.join(), tally.pausedSockets]).toEqual(["pause", 1]);
  link.readForATurn();
  link.readForATurn();
  expect(ws.calls.join()).toBe("pause,resume");
  link.pause(slowPeer);
  expect(ws.calls.join()).toBe("pause,resume,pause");
  link.readForATurn();
  for (const reason of [inbox, slowPeer]) link.resume(reason);
  expect([ws.calls.join(), tally.pausedSockets]).toEqual(["pause,resume,pause,resume", 0]);
});

test("turns are taken one after the other, and by a single socket every 5 s", () => {
  const { clock, flow, add } = setUp();
  const all = Array.from({ length: 250 }, () => add());
  for (const { link } of all) flow.pause(link, slowPeer);
  const turns = () => all.filter(({ ws }) => ws.calls.includes("resume")).length;
  clock.advance(5_000);
  for (let taken = 1; taken < all.length; taken++, clock.advance(500)) expect(turns()).toBe(taken);
  expect(turns()).toBe(all.length);
  for (const timeoutMs of [30_000, 3_000, 100]) {
    const alone = setUp(1_000_000, timeoutMs);
    const { link, ws } = alone.add();
    for (let turn = 1; turn <= 5; turn++) {
      link.pause(slowPeer);
      alone.clock.advance(5_000);
      expect(ws.calls.filter((call) => call === "resume")).toHaveLength(turn);
    }
  }
});

test("one that is closed has time to take what is unsent, which counts; then it is cut", () => {
  const { clock, flow, tally, add } = setUp();
  const [reader, stalled] = [add(), add()];
  for (const { link } of [reader, stalled]) {
    link.send(text(100));
    link.close("busy");
    expect(link.send(text(1))).toBe(0);
  }
  clock.advance(closingMs - 1_000);
  expect(tally.bufferedBytes).toBe(200);
  reader.ws.buffered = 0;
  flow.drained(reader.link);
  clock.advance(2_000);
  expect(reader.ws.calls).toEqual(["pause", "resume", "close 1008 side A busy"]);
  expect(stalled.ws.calls).toEqual(["pause", "resume", "terminate"]);
  expect([tally.bufferedBytes, tally.closes.busy]).toEqual([0, 2]);
});

test("what a client did not read before it closed counts for as long as the runtime keeps it", () => {
  const { clock, flow, tally, add } = setUp();
  const [closed, broken] = [add(), add()];
  for (const { link } of [closed, broken]) link.send(text(100));
  flow.closed(closed.link, false);
  flow.closed(broken.link, true);
  expect(tally.bufferedBytes).toBe(100);
  clock.advance(lingerMs);
  expect(tally.bufferedBytes).toBe(0);
});

test("past a client's share the fullest of its own is closed, not another's, and then cut", () => {
  const { add } = setUp(8_000);
  const client = (key: string) => ({ key, kind: "client" }) as const;
  const other = add(client("other"));
  other.link.send(text(900));
  const own = Array.from({ length: 5 }, () => add(client("a")));
  for (const [i, { link }] of own.entries()) link.send(text(200 + (i === 4 ? 1 : 0)));
  const reasons = () => own.map(({ link }) => link.closeReason);
  expect(reasons()).toEqual([...Array(4), "client_buffers_full"]);
  own[0]?.link.send(text(1));
  expect(own[4]?.ws.calls.at(-1)).toBe("terminate");
  expect(reasons().filter(Boolean)).toHaveLength(1);
  expect(other.link.closeReason).toBeUndefined();
});
