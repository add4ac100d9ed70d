import { describe, expect, test } from "bun:test";
import { backpressureLimit } from "../../src/ws/flow.ts";
import { openPair, TestClient } from "../support/client.ts";
import { fakeClock } from "../support/clock.ts";
import { startProxy } from "../support/proxy.ts";
import { opcodes, RawClient } from "../support/raw-client.ts";
import { type TestServer, testServer } from "../support/server.ts";

const kib = 1_024;
/** More than all the buffers between the server and a client that doesn't read. */
const floodFrames = 400;
const filler = "x".repeat(64 * kib);
const frame = (n: number) => `{"type":"ice","n":${n},"filler":"${filler}"}`;
const numberOf = (text: string) => Number(/"n":(\d+)/.exec(text)?.[1]);
const ice = (n: number) => ({ type: "ice", n });
const overrun = 'nt_drops_total{reason="overrun"}';
const calm = { HEARTBEAT: "10m", SLOW_PEER_TIMEOUT: "10m", FRAMES_PER_SEC: "0" };

/** Side A reads nothing from now on, while B has sent more than fits on the way. */
async function stalled(server: TestServer, options: { v2?: boolean } = {}) {
  const appId = crypto.randomUUID();
  const a = await RawClient.open(server.ws, { appId, side: "A" });
  const b = await TestClient.open(server.ws, appId, "B", options);
  await b.nextOf("room_full");
  expect(JSON.parse(await a.nextText())).toEqual({ type: "room_full" });
  a.pause();
  for (let n = 0; n < floodFrames; n++) b.send(frame(n));
  return {
    appId,
    a,
    b,
    async [Symbol.asyncDispose]() {
      await a[Symbol.asyncDispose]();
      await b[Symbol.asyncDispose]();
    },
  };
}

const senderWaits = (server: TestServer, senders = 1) =>
  server.metricBecomes("nt_ws_paused", (paused) => paused === senders);

/** Every frame comes, in order, none twice. */
async function hearsAll(reader: { nextText(): Promise<string> }): Promise<void> {
  for (let n = 0; n < floodFrames; n++) expect(numberOf(await reader.nextText())).toBe(n);
}

describe("a peer that stops reading", () => {
  test("gets every frame once and in order when it reads again; 100 other pairs notice nothing", async () => {
    const clock = fakeClock();
    await using server = await testServer(calm, { clock });
    await using others = new AsyncDisposableStack();
    const pairs = await Promise.all(
      Array.from({ length: 100 }, async () => others.use(await openPair(server))),
    );
    await using slow = await stalled(server);
    await senderWaits(server);

    for (const { a } of pairs) for (let n = 0; n < 20; n++) a.send(ice(n));
    for (const { b } of pairs) {
      for (let n = 0; n < 20; n++) expect(await b.next()).toEqual(ice(n));
    }
    expect(await server.metric("nt_ws_paused")).toBe(1);

    slow.a.resume();
    await hearsAll(slow.a);
    expect(await slow.a.settled()).toEqual([]);
    expect(await server.metric("nt_ws_buffered_bytes")).toBe(0);
    expect(await server.metric(overrun)).toBe(0);
  });

  test("costs the server no more memory than WS_BUFFER and what was on its way", async () => {
    const clock = fakeClock();
    const limits = {
      wsBufferBytes: 128 * kib,
      wsMaxMsgBytes: 128 * kib,
      slowPeerTimeoutMs: 600_000,
      wsBufferTotalBytes: 256 * kib * kib,
      socketsPerClient: 0,
    };
    const env = { ...calm, WS_BUFFER: String(128 * kib), WS_MAX_MSG: String(128 * kib) };
    await using server = await testServer(env, { clock });
    await using _slow = await stalled(server);
    await senderWaits(server);
    const atFirst = await server.metric("nt_ws_buffered_bytes");
    expect(atFirst).toBeGreaterThan(limits.wsBufferBytes);
    expect(atFirst).toBeLessThan(limits.wsBufferBytes + 2 * limits.wsMaxMsgBytes + kib * kib);

    for (let turn = 0; turn < 5; turn++) {
      clock.advance(5_000);
      await server.metricBecomes("nt_ws_paused", (paused) => paused === 1);
    }
    expect(await server.metric("nt_ws_buffered_bytes")).toBeLessThan(backpressureLimit(limits));
    expect(await server.metric(overrun)).toBe(0);
  });

  test("doesn't deadlock with a peer that has stopped reading as well", async () => {
    const clock = fakeClock();
    await using server = await testServer(calm, { clock });
    const appId = crypto.randomUUID();
    await using a = await RawClient.open(server.ws, { appId, side: "A" });
    await using b = await RawClient.open(server.ws, { appId, side: "B" });
    for (const peer of [a, b]) await peer.nextText();
    for (const peer of [a, b]) peer.pause();
    for (let n = 0; n < floodFrames; n++) {
      a.send(frame(n));
      b.send(frame(n));
    }
    await senderWaits(server, 2);
    for (const peer of [a, b]) peer.resume();
    await Promise.all([hearsAll(a), hearsAll(b)]);
    expect(await server.metric(overrun)).toBe(0);
  });
});

describe("a reader that stops, and shows life by pongs alone", () => {
  const mib = kib * kib;
  /** More than the kernel takes, in one go: nothing that is sent later brings it to light. */
  const large = "x".repeat(12 * mib);
  const env = {
    HEARTBEAT: "2s",
    SLOW_PEER_TIMEOUT: "5s",
    WS_MAX_MSG: String(16 * mib),
    MAILBOX_MAX_BYTES: String(16 * mib),
  };
  const hello = '{"type":"hello","deliveredUpTo":0}';

  test.each([
    ["a frame", true, undefined, `{"type":"ice","candidate":"${large}"}`],
    ["a frame before its own first", false, undefined, `{"type":"ice","candidate":"${large}"}`],
    ["mail", true, hello, `{"type":"send","to":"A","payload":"${large}"}`],
  ])("is counted and closed for %s that nothing follows", async (_, listens, first, text) => {
    const clock = fakeClock();
    await using server = await testServer(env, { clock });
    const appId = crypto.randomUUID();
    await using b = await RawClient.open(server.ws, { appId, side: "B" });
    await using a = await RawClient.open(server.ws, { appId, side: "A", listens });
    a.pause();
    clock.advance(50);
    await b.nextText();
    if (first !== undefined) a.send(first);
    b.send(text);
    await b.settled();
    clock.advance(1_000);
    expect(await server.metric("nt_ws_buffered_bytes")).toBeGreaterThan(mib);
    for (let second = 0; second < 8; second++) {
      for (const peer of [a, b]) peer.sendFrame(opcodes.pong);
      await b.settled();
      clock.advance(1_000);
    }
    await server.metricBecomes('nt_closes_total{reason="slow_peer"}', (closes) => closes === 1);
    expect(await server.metric('nt_closes_total{reason="dead"}')).toBe(0);
  });
});

describe("a sender that waits for its slow peer", () => {
  test("is not taken for dead, nor is the peer as long as it says something", async () => {
    const clock = fakeClock();
    await using server = await testServer({ ...calm, HEARTBEAT: "1s" }, { clock });
    await using slow = await stalled(server);
    await senderWaits(server);
    for (let said = 1; said <= 20; said++) {
      slow.a.send('{"type":"telemetry","event":"still here"}');
      await server.metricBecomes(
        'nt_ws_messages_total{type="telemetry"}',
        (count) => count === said,
      );
      clock.advance(900);
    }
    expect(await server.metric('nt_closes_total{reason="dead"}')).toBe(0);
    slow.a.resume();
    await hearsAll(slow.a);
  });

  test("is found out when its connection breaks meanwhile", async () => {
    const clock = fakeClock();
    await using server = await testServer(calm, { clock });
    const appId = crypto.randomUUID();
    await using a = await RawClient.open(server.ws, { appId, side: "A" });
    await using b = await RawClient.open(server.ws, { appId, side: "B" });
    await a.nextText();
    a.pause();
    for (let n = 0; n < floodFrames; n++) b.send(frame(n));
    await senderWaits(server);
    b.reset();
    // A turn that comes before the reset reads on a bit; the one after it meets the end.
    for (let turns = 0; turns < 100; turns++) {
      clock.advance(5_000);
      if ((await server.metric("nt_peers_active")) === 1) return;
    }
    throw new Error("A hundred turns passed, and the broken connection still holds its seat");
  });

  test("is found dead when it fell silent meanwhile, once its peer has read on", async () => {
    const clock = fakeClock();
    await using server = await testServer({ ...calm, HEARTBEAT: "1s" }, { clock });
    await using network = startProxy(server.port);
    await using slow = await stalled({ ...server, ws: network.ws });
    await senderWaits(server);
    network.latest().cut("silent");
    slow.a.resume();
    await server.metricBecomes("nt_ws_paused", (paused) => paused === 0);
    for (let beat = 0; beat < 12; beat++) {
      await slow.a.settled();
      clock.advance(500);
    }
    await server.metricBecomes('nt_closes_total{reason="dead"}', (dead) => dead === 1);
    expect(await server.metric("nt_peers_active")).toBe(1);
  });

  test("goes on when its peer is sent away with 1013 for draining nothing", async () => {
    const clock = fakeClock();
    const env = { HEARTBEAT: "10m", SLOW_PEER_TIMEOUT: "1s", FRAMES_PER_SEC: "0" };
    await using server = await testServer(env, { clock });
    await using slow = await stalled(server, { v2: true });
    await senderWaits(server);
    clock.advance(2_000);
    expect((await slow.b.nextOf("peer_left")).type).toBe("peer_left");
    await server.metricBecomes('nt_closes_total{reason="slow_peer"}', (count) => count === 1);
    slow.a.resume();
    expect(await slow.a.ended).toEqual({ code: 1013, reason: "slow peer" });

    await slow.b.settled();
    await using back = await TestClient.open(server.ws, slow.appId, "A", { sid: "another" });
    expect(await back.next()).toEqual({ type: "room_full" });
    slow.b.send(ice(1));
    expect(await back.next()).toEqual(ice(1));
    expect(await server.metric(overrun)).toBe(0);
  });
});

describe("past WS_BUFFER_TOTAL over all peers", () => {
  const env = { ...calm, WS_BUFFER: "262144", WS_BUFFER_TOTAL: "400000", SOCKETS_PER_CLIENT: "0" };
  const buffersFull = 'nt_closes_total{reason="buffers_full"}';
  const buffered = (server: TestServer) => server.metric("nt_ws_buffered_bytes");

  /** A pair whose side A reads nothing, and a way to have more and more queued for it. */
  async function filling(server: TestServer) {
    const appId = crypto.randomUUID();
    const a = await RawClient.open(server.ws, { appId, side: "A" });
    const b = await TestClient.open(server.ws, appId, "B");
    await b.nextOf("room_full");
    await a.nextText();
    a.pause();
    return {
      a,
      b,
      /** Sends until `bytes` more are queued in the server than before, or somebody is closed. */
      async fill(bytes: number) {
        const before = await buffered(server);
        const closed = await server.metric(buffersFull);
        for (let now = before; now < before + bytes; now = await buffered(server)) {
          // In big steps at first: the kernel takes megabytes before anything is queued here.
          b.send({ type: "ice", filler: filler.slice(0, now === before ? 64 * kib : 4 * kib) });
          await b.settled();
          if ((await server.metric(buffersFull)) > closed) return;
        }
      },
      async [Symbol.asyncDispose]() {
        await a[Symbol.asyncDispose]();
        await b[Symbol.asyncDispose]();
      },
    };
  }

  test("the fullest is closed with 1013, whoever brings it there", async () => {
    const clock = fakeClock();
    await using server = await testServer(env, { clock });
    await using fuller = await filling(server);
    await using other = await filling(server);
    await fuller.fill(230_000);
    await other.fill(200_000);
    expect(await server.metric(buffersFull)).toBe(1);
    fuller.a.resume();
    expect(await fuller.a.ended).toEqual({ code: 1013, reason: "buffers full" });
    await other.b.settled();
    expect(await server.metric("nt_peers_active")).toBe(3);
    expect(await server.metric(overrun)).toBe(0);
  });

  test("also when it is the fullest itself, and its sender goes on", async () => {
    const clock = fakeClock();
    await using server = await testServer(env, { clock });
    await using other = await filling(server);
    await using fuller = await filling(server);
    await other.fill(170_000);
    await fuller.fill(250_000);
    expect(await server.metric(buffersFull)).toBe(1);
    fuller.a.resume();
    expect(await fuller.a.ended).toEqual({ code: 1013, reason: "buffers full" });
    await fuller.b.settled();
    expect(fuller.b.isClosed).toBe(false);
    expect(await server.metric(overrun)).toBe(0);
  });

  test("also when its sender would have had to wait for it just then", async () => {
    const clock = fakeClock();
    await using server = await testServer({ ...env, WS_BUFFER_TOTAL: "262144" }, { clock });
    await using slow = await stalled(server);
    await server.metricBecomes(buffersFull, (count) => count === 1);
    await slow.b.settled();
    expect(await server.metric("nt_ws_paused")).toBe(0);
    expect(await server.metric(overrun)).toBe(0);
  });
});

describe("a full mailbox", () => {
  const env = { MAILBOX_MAX_MAILS: "4" };
  const mail = (n: number) => ({ type: "send", to: "B", payload: `mail ${n}` });

  test("is told to a v2 sender by the id of the mail, which is stored once there is room", async () => {
    await using server = await testServer(env);
    const appId = crypto.randomUUID();
    await using a = await TestClient.open(server.ws, appId, "A", { v2: true });
    for (let n = 1; n <= 5; n++) a.send({ ...mail(n), id: `id-${n}` });
    for (let seq = 1; seq <= 4; seq++) {
      expect(await a.nextOf("stored")).toEqual({ type: "stored", id: `id-${seq}`, seq });
    }
    expect(await a.next()).toMatchObject({ type: "error", code: "mailbox_full", id: "id-5" });

    await using b = await TestClient.open(server.ws, appId, "B", { sid: "" });
    b.send({ type: "hello", deliveredUpTo: 0 });
    for (let seq = 1; seq <= 4; seq++) expect((await b.nextOf("deliver"))["seq"]).toBe(seq);
    b.send({ type: "delivered", upTo: 1 });
    await b.settled();
    a.send({ ...mail(5), id: "id-5" });
    expect(await a.nextOf("stored")).toEqual({ type: "stored", id: "id-5", seq: 5 });
    expect(await b.next()).toMatchObject({ seq: 5, payload: "mail 5" });
  });

  test("closes a v1 sender with 1013, again and again until it is half empty", async () => {
    await using server = await testServer(env);
    const appId = crypto.randomUUID();
    await using b = await TestClient.open(server.ws, appId, "B", { sid: "" });
    b.send({ type: "hello", deliveredUpTo: 0 });
    const sends = async (n: number) => {
      await using a = await TestClient.open(server.ws, appId, "A", { sid: "" });
      a.send(mail(n));
      await Promise.race([a.closed, a.settled()]);
      return a.isClosed ? await a.closed : "stored";
    };
    for (let n = 1; n <= 4; n++) expect(await sends(n)).toBe("stored");
    const refused = { code: 1013, reason: "mailbox full" };
    expect(await sends(5)).toEqual(refused);
    b.send({ type: "delivered", upTo: 1 });
    await b.settled();
    expect(await sends(5)).toEqual(refused);
    b.send({ type: "delivered", upTo: 2 });
    await b.settled();
    expect(await sends(5)).toBe("stored");
    b.send({ type: "hello", deliveredUpTo: 4 });
    await b.settled();
    expect(await server.metric("nt_mails")).toBe(1);
  });
});

describe("a client that holds its share of all mail", () => {
  const env = { MAIL_TOTAL_BYTES: "32000", WS_MAX_MSG: "2000", TRUST_PROXY: "loopback" };
  const mail = { type: "send", to: "B", payload: "x".repeat(1_000) };
  const from = ({ ws }: TestServer, address: string, protocols: string[] = []) =>
    TestClient.connect(`${ws}/ws?appID=${crypto.randomUUID()}&side=A`, {
      headers: { "X-Forwarded-For": address },
      protocols,
    });

  test("is told so if it can be, in all its rooms, and others notice nothing", async () => {
    await using server = await testServer(env);
    await using a = await from(server, "192.0.2.1", ["nt.v2"]);
    await using b = await from(server, "192.0.2.1", ["nt.v2"]);
    await using other = await from(server, "192.0.2.2");
    a.send(mail);
    await a.settled();
    b.send(mail);
    b.send(mail);
    expect(await b.nextOf("error")).toMatchObject({ code: "mail_share" });
    other.send(mail);
    await other.settled();
    expect(other.isClosed).toBe(false);
    expect(await server.metric("nt_mails")).toBe(3);
    expect(await server.metric('nt_drops_total{reason="mail_share"}')).toBe(1);
  });

  test("is closed with 1013 if it cannot be told", async () => {
    await using server = await testServer(env);
    await using a = await TestClient.open(server.ws, crypto.randomUUID(), "A");
    for (let n = 0; n < 3; n++) a.send(mail);
    expect((await a.closed).code).toBe(1013);
    expect(await server.metric('nt_closes_total{reason="mail_share"}')).toBe(1);
  });
});

test("a client that holds its share of the rooms that were not minted here is refused with 429", async () => {
  await using server = await testServer({ MAX_ROOMS: "16" });
  await using _first = await RawClient.open(server.ws);
  await expect(RawClient.open(server.ws)).rejects.toThrow("refused with 429");
  const { appID } = await server.mint();
  await using _minted = await RawClient.open(server.ws, { appId: appID });
  expect(await server.metric('nt_refusals_total{reason="rooms_share"}')).toBe(1);
});
