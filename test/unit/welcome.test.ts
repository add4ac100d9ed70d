import { expect, test } from "bun:test";
import { type AppId, newAppId, type Side } from "../../src/base/ids.ts";
import { Ledger } from "../../src/base/ledger.ts";
import { memoryEngine } from "../../src/engine/memory/memory.ts";
import type { IceServer } from "../../src/protocol/frames.ts";
import type { SignalingContext } from "../../src/signaling/context.ts";
import { FairQueue } from "../../src/signaling/fair-queue.ts";
import { Peer } from "../../src/signaling/peer.ts";
import { Tally } from "../../src/telemetry/tally.ts";
import { Flow } from "../../src/ws/flow.ts";
import { contractLimits } from "../contract/engine-contract.ts";
import { fakeClock } from "../support/clock.ts";
import { fakeClient, noEntrance } from "../support/fake-connection.ts";
import { fakeLink } from "../support/fake-link.ts";

const stun = { urls: "stun:stun.example.com" };

/** A room whose ICE servers come when the test says so, as they do from a shared engine. */
function room() {
  const clock = fakeClock();
  const tally = new Tally();
  const limits = {
    wsBufferBytes: 65_536,
    slowPeerTimeoutMs: 30_000,
    wsMaxMsgBytes: 65_536,
  };
  const flow = new Flow(limits, new Ledger(1_000_000), tally, clock);
  const answers = Promise.withResolvers<readonly IceServer[]>();
  const context: SignalingContext = {
    engine: memoryEngine({ now: clock.now, limits: contractLimits, dropped: () => {} }),
    clock,
    tally,
    ...noEntrance,
    heartbeatMs: 20_000,
    wsMaxMsgBytes: 65_536,
    framesPerSec: 0,
    fairQueue: new FairQueue(clock, new Ledger(Number.POSITIVE_INFINITY)),
    iceServers: () => answers.promise,
  };
  const appId: AppId = newAppId();
  const enter = (side: Side, v2 = true) => {
    const { link, ws } = fakeLink(flow);
    const identity = { appId, side, sid: "", mailboxClient: false, v2 };
    link.enters(identity);
    const peer = new Peer(link, context, fakeClient);
    link.peer = peer;
    peer.take();
    const heard = () => ws.sent.map((text) => JSON.parse(text) as { type: string });
    const leave = () => {
      link.terminate("client");
      peer.closed();
    };
    return { peer, ws, heard, leave };
  };
  const answer = async () => {
    answers.resolve([stun]);
    await answers.promise;
  };
  return { enter, answer, tally };
}

test("a welcome waits for its ICE servers, and all that comes meanwhile for the welcome", async () => {
  const { enter, answer, tally } = room();
  const a = enter("A");
  const b = enter("B", false);
  b.peer.received('{"type":"send","to":"A","payload":"mail"}');
  b.peer.received('{"type":"offer"}');
  expect(a.heard()).toEqual([]);
  expect(tally.bufferedBytes).toBeGreaterThan(0);
  await answer();
  expect(a.heard()).toEqual([
    expect.objectContaining({ type: "welcome", iceServers: [stun] }),
    { type: "room_full" },
    { type: "peer_joined" },
    { type: "offer" },
    expect.objectContaining({ type: "send", payload: "mail" }),
  ]);
});

test("who left before the welcome hears nothing, and leaves no seat behind", async () => {
  const { enter, answer } = room();
  const a = enter("A");
  enter("B", false);
  a.leave();
  await answer();
  expect(a.heard()).toEqual([]);
  expect(enter("A", false).heard()).toEqual([{ type: "room_full" }]);
});

test("a close does not wait for a welcome that is not known", async () => {
  const { enter } = room();
  const a = enter("A");
  enter("B", false);
  a.peer.refuse("shutdown");
  expect(a.heard()).toEqual([]);
  expect(a.ws.calls).toEqual(["close 1001 server going away"]);
});
