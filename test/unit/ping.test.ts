import { expect, test } from "bun:test";
import { newAppId } from "../../src/base/ids.ts";
import { Ledger } from "../../src/base/ledger.ts";
import { memoryEngine } from "../../src/engine/memory/memory.ts";
import { FairQueue } from "../../src/signaling/fair-queue.ts";
import { Peer } from "../../src/signaling/peer.ts";
import { Tally } from "../../src/telemetry/tally.ts";
import { contractLimits } from "../contract/engine-contract.ts";
import { fakeClock } from "../support/clock.ts";
import { FakeConnection, fakeClient, noEntrance } from "../support/fake-connection.ts";

test("a ping counts towards the rate of frames as any frame does", () => {
  const clock = fakeClock();
  const identity = {
    appId: newAppId(),
    side: "A",
    sid: "",
    mailboxClient: true,
    v2: true,
  } as const;
  const connection = new FakeConnection(identity);
  const context = {
    ...noEntrance,
    engine: memoryEngine({ now: clock.now, limits: contractLimits, dropped: () => {} }),
    clock,
    tally: new Tally(),
    heartbeatMs: 20_000,
    wsMaxMsgBytes: 65_536,
    framesPerSec: 5,
    fairQueue: new FairQueue(clock, new Ledger(Number.POSITIVE_INFINITY)),
  };
  const peer = new Peer(connection, context, fakeClient);
  peer.take();
  const pongs = () => connection.sent.filter((text) => text === '{"type":"pong"}').length;
  for (let n = 0; n < 12; n++) peer.received('{"type":"ping"}');
  expect(pongs()).toBe(10);
  clock.advance(1_000);
  expect(pongs()).toBe(12);
});
