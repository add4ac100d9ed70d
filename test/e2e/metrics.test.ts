import { expect, test } from "bun:test";
import { openPair, TestClient } from "../support/client.ts";
import { fakeClock } from "../support/clock.ts";
import { RawClient } from "../support/raw-client.ts";
import { testServer } from "../support/server.ts";

test("an established session counts once a room, with the time it took", async () => {
  await using server = await testServer();
  await using pair = await openPair(server);
  pair.a.send({ type: "telemetry", event: "ice-connected", mode: "direct" });
  await pair.a.settled();
  pair.b.send({ type: "telemetry", event: "ice-connected", mode: "relay" });
  pair.a.send({ type: "telemetry", event: "ice-connected", mode: "direct" });
  for (const peer of [pair.a, pair.b]) expect(await peer.settled()).toEqual([]);
  expect(await server.metric('nt_session_established_total{mode="direct"}')).toBe(1);
  expect(await server.metric('nt_session_established_total{mode="relay"}')).toBe(0);
  expect(await server.metric("nt_session_time_to_first_flow_seconds_count")).toBe(1);
  expect(await server.metric("nt_session_time_to_first_flow_seconds_sum")).toBeLessThan(20);
  expect(await server.metric('nt_signal_messages_total{type="telemetry"}')).toBe(3);

  await using other = await openPair(server);
  other.b.send({ type: "telemetry", event: "ice-connected" });
  await other.b.settled();
  expect(await server.metric('nt_session_established_total{mode="unspecified"}')).toBe(1);
});

test("a failed session counts each time, and what clients say never becomes a label", async () => {
  await using server = await testServer();
  await using pair = await openPair(server);
  const said = 'x"} 1\nnt_rooms_active 77 #';
  for (const frame of [
    { type: "telemetry", event: "ice-failed", reason: "timeout" },
    { type: "telemetry", event: "ice-failed", reason: "timeout" },
    { type: "telemetry", event: "ice-failed" },
    { type: "telemetry", event: "ice-failed", reason: said },
    { type: "telemetry", event: "ice-connected", mode: said },
    { type: "telemetry", event: said },
    { type: "telemetry", event: "ice-failed", reason: { toString: 1 } },
    { type: said },
  ]) {
    pair.a.send(frame);
  }
  await pair.a.settled();
  expect(await server.metric('nt_session_failed_total{reason="timeout"}')).toBe(2);
  expect(await server.metric('nt_session_failed_total{reason="ice-failed"}')).toBe(1);
  expect(await server.metric('nt_session_failed_total{reason="other"}')).toBe(1);
  expect(await server.metric('nt_session_established_total{mode="other"}')).toBe(1);
  expect(await server.metric('nt_signal_messages_total{type="other"}')).toBe(1);
  expect(await (await fetch(`${server.http}/metrics`)).text()).not.toContain("77 #");
});

test("rooms, peers, codes and mail are told as they are now", async () => {
  await using server = await testServer();
  const gauges = async () => ({
    rooms: await server.metric("nt_rooms_active"),
    peers: await server.metric("nt_peers_active"),
    live: await server.metric("nt_codes_live"),
    resting: await server.metric("nt_codes_resting"),
    mails: await server.metric("nt_mails"),
    mailBytes: await server.metric("nt_mailbox_bytes"),
  });
  const none = { rooms: 0, peers: 0, live: 0, resting: 0, mails: 0, mailBytes: 0 };
  expect(await gauges()).toEqual(none);

  const { code, appID } = await server.mint();
  await server.mint();
  expect(await gauges()).toEqual({ ...none, live: 2 });
  await server.redeem(code);
  await using a = await TestClient.open(server.ws, appID, "A");
  await a.settled();
  expect(await gauges()).toEqual({ ...none, rooms: 1, peers: 1, live: 1, resting: 1 });

  a.send({ type: "send", to: "B", payload: "four" });
  await a.settled();
  expect(await gauges()).toMatchObject({ mails: 1, mailBytes: expect.any(Number) });
  await using b = await TestClient.open(server.ws, appID, "B");
  b.send({ type: "hello" });
  await b.nextOf("send");
  b.send({ type: "delivered", upTo: 1 });
  await b.settled();
  expect(await gauges()).toMatchObject({ peers: 2, mails: 0, mailBytes: 0 });
  await b.close();
  expect(await gauges()).toMatchObject({ rooms: 1, peers: 1 });
});

test("connections, frames, bytes and round trips are counted where they happen", async () => {
  await using server = await testServer({ HEARTBEAT: "100ms" });
  const { appID: appId, code } = await server.mint();
  await server.redeem(code);
  await server.redeem(code);
  await using a = await RawClient.open(server.ws, { appId, side: "A" });
  await using b = await RawClient.open(server.ws, { appId, side: "B" });
  for (const peer of [a, b]) await peer.nextText();
  const offer = '{"type":"offer","sdp":"ä"}';
  a.send(offer);
  a.send('{"type":"ice"}');
  await b.nextText();
  await b.nextText();
  b.send("garbage");
  await b.settled();
  await a.pinged(2);
  await a.settled();

  const expected = {
    nt_ws_connections_total: 2,
    nt_codes_minted_total: 1,
    nt_codes_redeemed_total: 1,
    nt_pairs_total: 1,
    'nt_refusals_total{reason="gone"}': 1,
    'nt_ws_messages_total{type="offer"}': 1,
    'nt_ws_messages_total{type="ice"}': 1,
    'nt_ws_messages_total{type="answer"}': 0,
    'nt_signal_messages_total{type="offer"}': 1,
    'nt_signal_bytes_total{dir="in",type="offer"}': Buffer.byteLength(offer),
    'nt_signal_bytes_total{dir="out",type="offer"}': Buffer.byteLength(offer),
    'nt_signal_bytes_total{dir="in",type="other"}': "garbage".length,
    'nt_ws_frame_bytes_count{dir="in"}': 3,
    'nt_drops_total{reason="malformed"}': 1,
    'nt_drops_total{reason="overrun"}': 0,
  };
  const told: Record<string, number> = {};
  for (const series of Object.keys(expected)) told[series] = await server.metric(series);
  expect(told).toEqual(expected);
  expect(await server.metric("nt_ws_rtt_seconds_count")).toBeGreaterThanOrEqual(2);
  expect(await server.metric("nt_ws_rtt_seconds_sum")).toBeLessThan(20);
});

test("what the server sends is counted: relayed frames, held ones, mail", async () => {
  await using server = await testServer();
  await using pair = await openPair(server);
  pair.a.send('{"type":"offer","sdp":"v=0"}');
  await pair.b.next();
  pair.b.send('{"type":"send","to":"A","payload":"mail"}');
  const mail = await pair.a.nextText();
  await pair.b.close();
  pair.a.send('{"type":"ice"}');
  await pair.a.settled();
  await using back = await TestClient.open(server.ws, pair.appId, "B");
  await back.nextOf("ice");

  const out = (type: string) => server.metric(`nt_signal_bytes_total{dir="out",type="${type}"}`);
  const told = { offer: await out("offer"), ice: await out("ice"), send: await out("send") };
  expect(told).toEqual({ offer: 28, ice: 14, send: mail.length });
  expect(await server.metric('nt_ws_frame_bytes_count{dir="out"}')).toBeGreaterThanOrEqual(3);
});

test("each way to end a connection has its own count", async () => {
  await using server = await testServer();
  await using left = await TestClient.open(server.ws, crypto.randomUUID(), "A");
  await left.close();
  await using broken = await RawClient.open(server.ws);
  broken.sendRaw(Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]));
  await broken.ended;
  await using replaced = await TestClient.open(server.ws, crypto.randomUUID(), "A", { sid: "s" });
  const appId = new URL(replaced.socket.url).searchParams.get("appID") ?? "";
  await using heir = await TestClient.open(server.ws, appId, "A", { sid: "s" });
  heir.send({ type: "hello", deliveredUpTo: 0 });
  expect(await replaced.closed).toEqual({ code: 1000, reason: "replaced" });
  await heir.settled();
  for (const reason of ["client", "protocol", "replaced"]) {
    expect([reason, await server.metric(`nt_closes_total{reason="${reason}"}`)]).toEqual([
      reason,
      1,
    ]);
  }
  expect(await server.metric('nt_takeovers_total{reason="same_sid"}')).toBe(1);
});

test("METRICS_ROUTE moves the metrics", async () => {
  await using server = await testServer({ METRICS_ROUTE: "/internal/numbers" });
  expect(await server.metric("nt_ws_connections_total")).toBe(0);
  const answer = await fetch(`${server.http}/internal/numbers`);
  expect(answer.headers.get("content-type")).toStartWith("text/plain");
  expect(await answer.text()).toContain("# TYPE nt_rooms_active gauge");
  expect((await fetch(`${server.http}/metrics`)).status).toBe(404);
});

test("scrapers that come all the time share a text that is made once a second", async () => {
  const clock = fakeClock();
  await using server = await testServer({}, { clock, metricsAgeMs: 1_000 });
  const scrape = async () => (await fetch(`${server.http}/metrics`)).text();
  const first = await scrape();
  await server.mint();
  expect(await Promise.all([scrape(), scrape()])).toEqual([first, first]);
  clock.advance(1_000);
  expect(await server.metric("nt_codes_minted_total")).toBe(1);
});
