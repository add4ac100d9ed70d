import { describe, expect, test } from "bun:test";
import { openPair, TestClient } from "../support/client.ts";
import { fakeClock } from "../support/clock.ts";
import { deployments } from "../support/deployments.ts";
import { encodeFrame, opcodes, RawClient, upgradeRequest } from "../support/raw-client.ts";
import { rawRequest } from "../support/raw-http.ts";
import { type TestServer, testServer } from "../support/server.ts";

// On Linux all of 127.0.0.0/8 is this machine: each address is a client of its own.
const [one, two] = ["127.0.0.1", "127.0.0.2"];

function upgrade(server: TestServer, localAddress = one, headers: Record<string, string> = {}) {
  const target = `/ws?appID=${crypto.randomUUID()}&side=A`;
  return rawRequest(server.http, { ...upgradeRequest(target, headers), localAddress });
}

/** Tries until the server has seen that a socket has closed. */
async function opensAgain(server: TestServer): Promise<RawClient> {
  await server.metricBecomes("nt_peers_active", (peers) => peers < 2);
  return RawClient.open(server.ws);
}

test("past MAX_SOCKETS upgrades are refused for a while, until a socket closes", async () => {
  await using server = await testServer({ MAX_SOCKETS: "2" });
  await using first = await RawClient.open(server.ws);
  await using second = await RawClient.open(server.ws, { localAddress: two });
  const refused = await upgrade(server, "127.0.0.3");
  expect(refused.status).toBe(503);
  expect(refused.headers.get("retry-after")).toBe("10");
  expect(refused.headers.get("content-type")).toBe("application/problem+json");
  expect(JSON.parse(refused.body)).toMatchObject({ status: 503, code: "sockets_full" });
  expect(await server.metric('nt_refusals_total{reason="sockets_full"}')).toBe(1);
  // Those that are in notice nothing, and HTTP is served.
  expect(await first.settled()).toEqual([]);
  await server.mint();

  second.reset();
  await using again = await opensAgain(server);
  expect(await again.settled()).toEqual([]);
});

test("SOCKETS_PER_CLIENT holds for each client by itself, until one of its sockets closes", async () => {
  await using server = await testServer({ SOCKETS_PER_CLIENT: "2" });
  await using first = await RawClient.open(server.ws);
  await using _second = await RawClient.open(server.ws);
  const refused = await upgrade(server, one);
  expect(refused.status).toBe(429);
  expect(refused.headers.get("retry-after")).toBe("10");
  expect(JSON.parse(refused.body)).toMatchObject({ status: 429, code: "too_many_sockets" });
  expect(await server.metric('nt_refusals_total{reason="sockets_per_client"}')).toBe(1);

  first.sendClose();
  await first.ended;
  await using again = await opensAgain(server);
  await using other = await RawClient.open(server.ws, { localAddress: two });
  for (const peer of [again, other]) expect(await peer.settled()).toEqual([]);
});

test("clients behind a trusted proxy have sockets of their own", async () => {
  await using server = await testServer({ SOCKETS_PER_CLIENT: "1" });
  const behind = (client: string) => ({ "X-Forwarded-For": client });
  await using _first = await RawClient.open(server.ws, { headers: behind("203.0.113.1") });
  await using _second = await RawClient.open(server.ws, { headers: behind("203.0.113.2") });
  expect((await upgrade(server, one, behind("203.0.113.1"))).status).toBe(429);
});

test("everybody behind an unknown proxy is limited as a site: 16 sockets where a client has one", async () => {
  const env = { TRUST_PROXY: "127.0.0.9", SOCKETS_PER_CLIENT: "1", MAX_SOCKETS: "100" };
  await using server = await testServer(env);
  await using stack = new AsyncDisposableStack();
  const headers = { "X-Forwarded-For": "203.0.113.1" };
  for (let i = 0; i < 16; i++) stack.use(await RawClient.open(server.ws, { headers }));
  const refused = await upgrade(server, one, headers);
  expect(JSON.parse(refused.body)).toMatchObject({ status: 429, code: "too_many_sockets" });
  stack.use(await RawClient.open(server.ws, { localAddress: two }));
});

test("the customers of one site leave half of MAX_SOCKETS to the others", async () => {
  await using server = await testServer({ MAX_SOCKETS: "24" });
  await using stack = new AsyncDisposableStack();
  const behind = (client: string) => ({ "X-Forwarded-For": client });
  const tryAll = async (clients: readonly string[]) => {
    let opened = 0;
    for (const client of clients) {
      for (let i = 0; i < 24; i++) {
        const headers = behind(client);
        const socket = await RawClient.open(server.ws, { headers }).catch(() => undefined);
        if (socket === undefined) continue;
        stack.use(socket);
        opened++;
      }
    }
    return opened;
  };
  const networks = Array.from({ length: 8 }, (_, i) => `2001:db8:1:${i}00::1`);
  expect(await tryAll(networks)).toBe(12);
  expect(await server.metric("nt_ws_clients")).toBe(4);
  const statuses = 'nt_refusals_total{reason="sockets_per_client"}';
  expect(await server.metric(statuses)).toBe(8 * 24 - 12);
  expect(await tryAll(["203.0.113.1", "2001:db8:2::1"])).toBe(6);
});

describe.each(deployments)("on %s", (_, open) => {
  test.each([
    [{ MAX_SOCKETS: "5", SOCKETS_PER_CLIENT: "0" }, 503],
    [{ SOCKETS_PER_CLIENT: "5" }, 429],
    [{ MAX_SOCKETS: "40" }, 429],
  ])("of 60 upgrades at once %p lets five in, and no more", async (env, refusal) => {
    await using deployment = await open(env);
    const opened = await Promise.allSettled(
      Array.from({ length: 60 }, () => RawClient.open(deployment.a.ws)),
    );
    const inside = opened.flatMap((result) =>
      result.status === "fulfilled" ? [result.value] : [],
    );
    const refused = opened.flatMap((result) =>
      result.status === "rejected" ? [String(result.reason)] : [],
    );
    expect(inside).toHaveLength(5);
    for (const reason of refused) expect(reason).toEndWith(`refused with ${refusal}`);
    await Promise.all(inside.map((peer) => peer[Symbol.asyncDispose]()));
  });
});

test("a hundred that come and go use nothing up", async () => {
  await using server = await testServer({ SOCKETS_PER_CLIENT: "0", MAX_SOCKETS: "3" });
  for (let i = 0; i < 100; i++) {
    await using peer = await RawClient.open(server.ws);
    if (i % 3 === 0) peer.reset();
    else if (i % 3 === 1) peer.sendClose();
    else peer.sendFrame(0x3);
    await peer.ended;
    await server.metricBecomes("nt_peers_active", (peers) => peers === 0);
  }
});

// ---- frames ----

const numbered = (count: number, from = 0) =>
  Array.from({ length: count }, (_, i) => `{"type":"ice","n":${from + i}}`);

function encoded(texts: readonly string[]): Buffer {
  return Buffer.concat(texts.map((text) => encodeFrame(opcodes.text, Buffer.from(text))));
}

test("a flooder is read no faster than FRAMES_PER_SEC, loses nothing and keeps its order", async () => {
  const clock = fakeClock();
  await using server = await testServer({ FRAMES_PER_SEC: "100" }, { clock });
  const appId = crypto.randomUUID();
  await using flooder = await RawClient.open(server.ws, { appId, side: "A" });
  await using peer = await TestClient.open(server.ws, appId, "B");
  expect(await peer.next()).toEqual({ type: "room_full" });
  const sent = numbered(1_000);
  flooder.sendRaw(encoded(sent));
  // The burst comes through at once, and then nothing while time stands still.
  expect(await peer.nextTexts(200)).toEqual(sent.slice(0, 200));
  await server.metricBecomes("nt_ws_paused", (paused) => paused === 1);
  expect(await peer.settled()).toEqual([]);

  const heard = sent.slice(0, 200);
  while (heard.length < sent.length) {
    clock.advance(1_000);
    heard.push(...(await peer.nextTexts(Math.min(100, sent.length - heard.length))));
    expect(peer.texts).toEqual([]);
  }
  expect(heard).toEqual(sent);
  expect(await flooder.settled()).toEqual(['{"type":"room_full"}']);
  await server.metricBecomes("nt_ws_paused", (paused) => paused === 0);
});

test("while one floods, other pairs relay as if it weren't there", async () => {
  const clock = fakeClock();
  await using server = await testServer({ FRAMES_PER_SEC: "200" }, { clock });
  await using flooder = await RawClient.open(server.ws);
  await using pair = await openPair(server);
  flooder.sendRaw(encoded(numbered(20_000)));
  await server.metricBecomes("nt_ws_paused", (paused) => paused === 1);
  // Its burst of two seconds is 400.
  const frames = numbered(200);
  for (const frame of frames) pair.a.send(frame);
  expect(await pair.b.nextTexts(200)).toEqual(frames);
  expect(await server.metric('nt_signal_messages_total{type="ice"}')).toBe(400 + 200);
});

test("mail is slowed down like anything else, and none is lost", async () => {
  const clock = fakeClock();
  await using server = await testServer({ FRAMES_PER_SEC: "50" }, { clock });
  await using pair = await openPair(server, { a: { v2: true }, b: { sid: "b" } });
  pair.b.send({ type: "hello", deliveredUpTo: 0 });
  await pair.b.settled();
  const seqs: unknown[] = [];
  for (let n = 0; n < 300; n++) pair.a.send({ type: "send", to: "B", payload: n, id: `m${n}` });
  await server.metricBecomes("nt_ws_paused", (paused) => paused === 1);
  while (seqs.length < 300) {
    seqs.push(...(await pair.b.settled()).map(({ payload }) => payload));
    clock.advance(1_000);
  }
  expect(seqs).toEqual(Array.from({ length: 300 }, (_, n) => n));
});

test("a flooder that gives up while it is paused leaves nothing behind", async () => {
  const clock = fakeClock();
  await using server = await testServer({ FRAMES_PER_SEC: "10" }, { clock });
  await using flooder = await RawClient.open(server.ws);
  flooder.sendRaw(encoded(numbered(200)));
  await server.metricBecomes("nt_ws_paused", (paused) => paused === 1);
  flooder.destroy();
  for (let second = 0; second < 30; second++) clock.advance(1_000);
  await server.metricBecomes("nt_peers_active", (peers) => peers === 0);
  expect(await server.metric("nt_ws_paused")).toBe(0);
});

test("FRAMES_PER_SEC of 0 is no limit", async () => {
  await using server = await testServer({ FRAMES_PER_SEC: "0" }, { clock: fakeClock() });
  await using pair = await openPair(server);
  const frames = numbered(10_000);
  for (const frame of frames) pair.a.send(frame);
  expect(await pair.b.nextTexts(10_000)).toEqual(frames);
});

// Every turn in which a paused socket is read adds a chunk to what waits, until that is too much.
test("a flood of tiny frames is slowed down for as long as it lasts, and not sent away", async () => {
  const clock = fakeClock();
  await using server = await testServer({ FRAMES_PER_SEC: "100" }, { clock });
  await using flooder = await RawClient.open(server.ws);
  const tiny = encodeFrame(opcodes.text, Buffer.from('{"type":"x"}'));
  // So that the end of no wait for tokens falls on the beginning of a turn.
  clock.advance(20);
  flooder.sendRaw(Buffer.concat(new Array<Buffer>(600_000).fill(tiny)));
  await server.metricBecomes("nt_ws_paused", (paused) => paused === 1);
  clock.advance(980);
  for (let second = 1; second <= 80; second++) {
    clock.advance(1_000);
    // Before time moves on, what can be read now is read.
    for (let i = 0; i < 3; i++) await fetch(`${server.http}/healthz`);
  }
  expect(await server.metric('nt_drops_total{reason="parked"}')).toBe(0);
});

test("a ping counts as any frame does", async () => {
  const clock = fakeClock();
  await using server = await testServer({ FRAMES_PER_SEC: "5" }, { clock });
  const room = crypto.randomUUID();
  await using client = await TestClient.open(server.ws, room, "A", { v2: true });
  await client.nextOf("welcome");
  for (let n = 0; n < 12; n++) client.send({ type: "ping" });
  const pong = '{"type":"pong"}';
  expect(await client.nextTexts(10)).toEqual(Array<string>(10).fill(pong));
  await server.metricBecomes("nt_ws_paused", (paused) => paused === 1);
  expect(client.texts).toEqual([]);
  clock.advance(1_000);
  expect(await client.nextTexts(2)).toEqual([pong, pong]);
});

// Frames that are no text are counted where they come in, before any budget.
test("binary nonsense is slowed down like any other frame", async () => {
  await using server = await testServer({ FRAMES_PER_SEC: "10" }, { clock: fakeClock() });
  await using flooder = await RawClient.open(server.ws);
  for (let i = 0; i < 200; i++) flooder.sendBinary(Buffer.from([0xff]));
  await server.metricBecomes("nt_ws_paused", (paused) => paused === 1);
  expect(await server.metric('nt_drops_total{reason="malformed"}')).toBe(20);
});

// ---- what is no message ----

test.each([
  ["pings", opcodes.ping],
  ["pongs that answer no ping", opcodes.pong],
])(
  "a flood of %s closes its socket with 1008, and the rest of it is not even looked at",
  async (_, opcode) => {
    const clock = fakeClock();
    await using server = await testServer({}, { clock });
    await using pair = await openPair(server);
    await using flooder = await RawClient.open(server.ws, { listens: false });
    const one = encodeFrame(opcode, Buffer.alloc(0));
    flooder.sendRaw(Buffer.concat(new Array<Buffer>(100_000).fill(one)));
    expect(await flooder.ended).toEqual({ code: 1008, reason: "too many control frames" });
    expect(await server.metric('nt_closes_total{reason="control_frames"}')).toBe(1);
    expect(await pair.a.settled()).toEqual([]);
  },
);

test("some pings in one go, for as long as one likes, close nothing", async () => {
  await using server = await testServer();
  await using client = await RawClient.open(server.ws);
  for (let times = 0; times < 20; times++) {
    for (let i = 0; i < 100; i++) client.sendFrame(opcodes.ping);
    await client.settled();
  }
  expect(client.isOver).toBe(false);
});

test("frames are charged by size: a burst of long ones is slowed down, and all of them arrive", async () => {
  const clock = fakeClock();
  await using server = await testServer({ FRAMES_PER_SEC: "100" }, { clock });
  await using pair = await openPair(server);
  const long = `{"type":"offer","sdp":"${"s".repeat(4_000)}"}`;
  for (let i = 0; i < 100; i++) pair.a.send(long);
  // 200 tokens: 25 frames of 8.
  expect(await pair.b.nextTexts(25)).toEqual(new Array<string>(25).fill(long));
  await server.metricBecomes("nt_ws_paused", (paused) => paused === 1);
  expect(await pair.b.settled()).toEqual([]);
  expect(await server.metric("nt_ws_queued_bytes")).toBeGreaterThan(0);
  const heard: string[] = [];
  while (heard.length < 75) {
    clock.advance(1_000);
    heard.push(...(await pair.b.nextTexts(Math.min(12, 75 - heard.length))));
  }
  expect(new Set(heard)).toEqual(new Set([long]));
  await server.metricBecomes("nt_ws_queued_bytes", (bytes) => bytes === 0);
});
