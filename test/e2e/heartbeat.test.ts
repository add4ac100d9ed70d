import { expect, test } from "bun:test";
import { TestClient } from "../support/client.ts";
import { fakeClock } from "../support/clock.ts";
import { encodeFrame, opcodes, RawClient } from "../support/raw-client.ts";
import { testServer } from "../support/server.ts";

/** A server whose time moves second by second: what is pinged in one is heard before the next. */
async function setUp() {
  const clock = fakeClock();
  const server = await testServer({ HEARTBEAT: "10s" }, { clock });
  const dead = () => server.metric('nt_closes_total{reason="dead"}');
  const pass = async (seconds: number, then: () => unknown) => {
    for (let second = 0; second < seconds; second++) {
      clock.advance(1_000);
      await then();
    }
  };
  return { server, dead, pass, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

test("a peer that answers no ping is gone within two HEARTBEATs, and its seat is free", async () => {
  await using at = await setUp();
  const appId = crypto.randomUUID();
  await using b = await TestClient.open(at.server.ws, appId, "B", { v2: true });
  await using silent = await RawClient.open(at.server.ws, { appId, side: "A", autoPong: false });
  expect(await silent.nextText()).toBe('{"type":"room_full"}');
  await b.nextOf("peer_joined");
  let sent = 0;
  // Whatever is sent to it meanwhile.
  await at.pass(18, () => {
    b.send({ type: "ice", n: sent++ });
    return b.settled();
  });
  expect([silent.isOver, silent.pings]).toEqual([false, 1]);
  await at.pass(2, () => b.settled());
  expect(await silent.ended).toEqual({ code: undefined, reason: "" });
  expect(await at.dead()).toBe(1);

  await using a = await TestClient.open(at.server.ws, appId, "A");
  expect(await a.next()).toEqual({ type: "room_full" });
  b.send({ type: "offer" });
  expect(await a.nextText()).toBe('{"type":"offer"}');
});

test("the first ping comes one HEARTBEAT after the upgrade, and not much later", async () => {
  const clock = fakeClock();
  await using server = await testServer({ HEARTBEAT: "20s" }, { clock });
  await using client = await RawClient.open(server.ws);
  clock.advance(19_999);
  await client.settled();
  expect(client.pings).toBe(0);
  clock.advance(2_001);
  await client.pinged();
});

test.each<[what: string, client: object, says: (peer: RawClient) => void]>([
  ["answers pings and says nothing else", {}, () => {}],
  [
    "sends frames but answers no ping",
    { autoPong: false },
    (peer) => peer.send('{"type":"hello"}'),
  ],
  [
    "sends a pong that nobody asked for",
    { autoPong: false },
    (peer) => peer.sendFrame(opcodes.pong, Buffer.from("unasked")),
  ],
])("a peer that %s stays, and is pinged about every 9 s", async (_, options, says) => {
  await using at = await setUp();
  await using peer = await RawClient.open(at.server.ws, options);
  let answered = 0;
  // A ping of the client's own would be life as well: a request shows that all was read.
  await at.pass(100, async () => {
    await fetch(`${at.server.http}/healthz`);
    if (peer.pings > answered) says(peer);
    answered = peer.pings;
    await peer.flushed();
    await fetch(`${at.server.http}/healthz`);
  });
  expect(peer.pings).toBeWithin(9, 13);
  expect(await at.dead()).toBe(0);
});

test("only the answer to a ping of the server's own counts as a round trip", async () => {
  await using server = await testServer({ HEARTBEAT: "10m" });
  await using a = await RawClient.open(server.ws);
  for (const data of ["0", "-1e300", "", "NaN", "unasked"]) {
    a.sendFrame(opcodes.pong, Buffer.from(data));
  }
  await a.settled();
  expect(await server.metric("nt_ws_rtt_seconds_count")).toBe(0);
});

test.each([
  ["breaks off", (peer: RawClient) => peer.reset()],
  ["hangs up without a close frame", (peer: RawClient) => peer.destroy()],
  ["says goodbye", (peer: RawClient) => peer.sendClose(1000, "bye")],
])("a peer that %s frees its seat at once", async (_, leave) => {
  await using server = await testServer({ HEARTBEAT: "10m" });
  const appId = crypto.randomUUID();
  await using b = await TestClient.open(server.ws, appId, "B", { v2: true });
  await using a = await RawClient.open(server.ws, { appId, side: "A" });
  await b.nextOf("peer_joined");
  leave(a);
  await b.nextOf("peer_left");
  await using again = await TestClient.open(server.ws, appId, "A");
  expect(await again.next()).toEqual({ type: "room_full" });
});

test("a peer whose frame takes longer than HEARTBEAT is not taken for dead", async () => {
  const clock = fakeClock();
  await using server = await testServer({ HEARTBEAT: "1s" }, { clock });
  const appId = crypto.randomUUID();
  await using a = await RawClient.open(server.ws, { appId, side: "A", autoPong: false });
  await using b = await TestClient.open(server.ws, appId, "B");
  await b.nextOf("room_full");
  const text = `{"type":"offer","sdp":"${"x".repeat(100_000)}"}`;
  const frame = encodeFrame(opcodes.text, Buffer.from(text));
  for (let dripped = 0; dripped < 3; dripped++) {
    a.sendRaw(frame.subarray(0, 1_000));
    await a.flushed();
    for (let second = 0; second < 3; second++) {
      clock.advance(1_000);
      await b.settled();
    }
    a.sendRaw(frame.subarray(1_000));
    expect(await b.nextText()).toBe(text);
  }
  expect(await server.metric('nt_closes_total{reason="dead"}')).toBe(0);
});
