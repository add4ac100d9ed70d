import { expect, test } from "bun:test";
import { TestClient } from "../support/client.ts";
import { fakeClock } from "../support/clock.ts";
import { encodeFrame, opcodes, RawClient } from "../support/raw-client.ts";
import { testServer } from "../support/server.ts";

const quick = { HEARTBEAT: "200ms" };

test("a peer that answers no ping is gone, and its seat is free", async () => {
  await using server = await testServer(quick);
  const appId = crypto.randomUUID();
  await using b = await TestClient.open(server.ws, appId, "B", { v2: true });
  await using silent = await RawClient.open(server.ws, { appId, side: "A", autoPong: false });
  expect(await silent.nextText()).toBe('{"type":"room_full"}');
  expect(await silent.ended).toEqual({ code: undefined, reason: "" });
  expect(silent.pings).toBeGreaterThan(0);
  await b.nextOf("peer_left");
  expect(await server.metric('nt_closes_total{reason="dead"}')).toBe(1);

  await using a = await TestClient.open(server.ws, appId, "A");
  expect(await a.next()).toEqual({ type: "room_full" });
  await b.nextOf("peer_joined");
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

test("a silent peer is gone also while frames are being sent to it", async () => {
  await using server = await testServer(quick);
  const appId = crypto.randomUUID();
  await using silent = await RawClient.open(server.ws, { appId, side: "A", autoPong: false });
  await using b = await TestClient.open(server.ws, appId, "B", { v2: true });
  await b.nextOf("peer_joined");
  let sent = 0;
  let left = false;
  while (!left) {
    b.send({ type: "ice", n: sent++ });
    left = (await b.settled()).some(({ type }) => type === "peer_left");
  }
  await silent.ended;
  expect(sent).toBeGreaterThan(1);
  expect(await server.metric('nt_closes_total{reason="dead"}')).toBe(1);
});

test("a peer that answers pings and says nothing else stays", async () => {
  await using server = await testServer(quick);
  const appId = crypto.randomUUID();
  await using a = await RawClient.open(server.ws, { appId, side: "A" });
  await using b = await TestClient.open(server.ws, appId, "B");
  await a.pinged(6);
  expect(await a.nextText()).toBe('{"type":"room_full"}');
  b.send({ type: "offer" });
  expect(await a.nextText()).toBe('{"type":"offer"}');
  expect(await server.metric('nt_closes_total{reason="dead"}')).toBe(0);
  expect(await server.metric("nt_ws_rtt_seconds_count")).toBeGreaterThan(5);
});

test("a peer that sends frames but answers no ping stays: it lives", async () => {
  await using server = await testServer(quick);
  await using a = await RawClient.open(server.ws, { autoPong: false });
  for (let ping = 1; ping <= 6; ping++) {
    await a.pinged(ping);
    a.send('{"type":"hello"}');
  }
  await a.settled();
  expect(await server.metric('nt_closes_total{reason="dead"}')).toBe(0);
});

test("a pong that nobody asked for is a sign of life as well", async () => {
  await using server = await testServer(quick);
  await using a = await RawClient.open(server.ws, { autoPong: false });
  for (let ping = 1; ping <= 6; ping++) {
    await a.pinged(ping);
    a.sendFrame(opcodes.pong, Buffer.from("unasked"));
  }
  await a.settled();
  expect(await server.metric('nt_closes_total{reason="dead"}')).toBe(0);
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
