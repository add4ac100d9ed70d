import { expect, test } from "bun:test";
import { type AppId, newAppId, type Side } from "../../src/base/ids.ts";
import { SharedBudget } from "../../src/base/shared-budget.ts";
import type { IceServer } from "../../src/config/ice-formats.ts";
import { memoryEngine } from "../../src/engine/memory/memory.ts";
import type { SignalingContext } from "../../src/signaling/context.ts";
import { FairQueue } from "../../src/signaling/fair-queue.ts";
import { Peer } from "../../src/signaling/peer.ts";
import { Tally } from "../../src/telemetry/tally.ts";
import { contractLimits } from "../contract/engine-contract.ts";
import { fakeClock } from "../support/clock.ts";
import { FakeConnection } from "../support/fake-connection.ts";

const stun = { urls: "stun:stun.example.com" };

/** A room whose ICE servers come when the test says so, as they do from a shared engine. */
function room() {
  const clock = fakeClock();
  const answers = Promise.withResolvers<readonly IceServer[]>();
  const context: SignalingContext = {
    engine: memoryEngine({ now: clock.now, limits: contractLimits, dropped: () => {} }),
    clock,
    tally: new Tally(),
    heartbeatMs: 20_000,
    wsMaxMsgBytes: 65_536,
    framesPerSec: 0,
    fairQueue: new FairQueue(clock),
    queued: new SharedBudget(Number.POSITIVE_INFINITY, 0),
    iceServers: () => answers.promise,
  };
  const appId: AppId = newAppId();
  const enter = (side: Side, v2 = true) => {
    const connection = new FakeConnection();
    const identity = { appId, side, sid: "", mailboxClient: true, v2 };
    const peer = new Peer(identity, connection, context);
    peer.join();
    const heard = () => connection.sent.map((text) => JSON.parse(text) as { type: string });
    return { peer, connection, heard };
  };
  const answer = async () => {
    answers.resolve([stun]);
    await answers.promise;
  };
  return { enter, answer };
}

test("a welcome waits for its ICE servers and stays the first that is heard", async () => {
  const { enter, answer } = room();
  const a = enter("A");
  const b = enter("B", false);
  b.peer.received('{"type":"offer"}');
  expect(a.heard()).toEqual([]);
  await answer();
  expect(a.heard().slice(0, 3)).toEqual([
    expect.objectContaining({ type: "welcome", peer: true, iceServers: [stun] }),
    { type: "room_full" },
    { type: "peer_joined" },
  ]);
});

test("who came and went before the welcome is not in it", async () => {
  const { enter, answer } = room();
  const a = enter("A");
  enter("B", false).peer.closed();
  await answer();
  expect(a.heard()).toEqual([expect.objectContaining({ type: "welcome", peer: false })]);
});

test("who left before the welcome hears nothing, and leaves no seat behind", async () => {
  const { enter, answer } = room();
  const a = enter("A");
  a.peer.closed();
  await answer();
  expect(a.heard()).toEqual([]);
  const b = enter("B", false);
  expect(b.heard()).toEqual([]);
});
