import { describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { noBrowser, TestBrowser } from "../support/browser.ts";
import { TestClient } from "../support/client.ts";
import { fakeClock } from "../support/clock.ts";
import { requireProgram } from "../support/program.ts";
import { opcodes, RawClient, type RawClientOptions } from "../support/raw-client.ts";
import { testServer } from "../support/server.ts";
import { Changes, within } from "../support/waiting.ts";

const roomFull = '{"type":"room_full"}';
const node = requireProgram("node");
/** What a clock that stands still makes due is not what these tests are about. */
const calm = { HEARTBEAT: "10m" };

const offer = '{"type":"offer","sdp":"v=0"}';
const appId = () => crypto.randomUUID();

describe.skipIf(node.missing)("clients that set their listener once their socket is open", () => {
  test.each(["ws-7", "ws-8.17", "ws-8.23"])(
    "with %s hear room_full and the offer that was sent as they opened, 15 of 15",
    async (name) => {
      await using server = await testServer();
      const script = new URL("ws-pairs.mjs", import.meta.url).pathname;
      const pairs = 15;
      const child = Bun.spawn([node.path, script, name, server.ws, String(pairs)], {
        stdout: "pipe",
        stderr: "inherit",
      });
      try {
        const met = within("all pairs to meet", new Response(child.stdout).text());
        expect(await met).toBe(`${roomFull} ${roomFull} {"type":"offer"}\n`.repeat(pairs));
      } finally {
        child.kill();
      }
    },
  );
});

test("an offer that is sent as a peer's socket opens arrives, 15 of 15", async () => {
  await using server = await testServer();
  for (let i = 0; i < 15; i++) {
    const room = appId();
    await using a = await TestClient.open(server.ws, room, "A");
    const b = new WebSocket(`${server.ws}/ws?appID=${room}&side=B`);
    const heard: string[] = [];
    const all = new Promise<void>((resolve) => {
      b.onmessage = ({ data }) => void (heard.push(String(data)) === 2 && resolve());
    });
    b.onopen = () => a.send(offer);
    await within("room_full and the offer", all);
    expect(heard).toEqual([roomFull, offer]);
    expect(await a.nextText()).toBe(roomFull);
    b.close();
  }
});

test("nothing follows the 101, whatever waits to be told; the other side hears at once", async () => {
  const clock = fakeClock();
  await using server = await testServer(calm, { clock });
  const room = appId();
  await using b = await TestClient.open(server.ws, room, "B");
  await using a = await upgraded(server.port, `/ws?appID=${room}&side=A`);
  expect(a.answer.startsWith("HTTP/1.1 101 ")).toBe(true);
  expect(a.answer.endsWith("\r\n\r\n")).toBe(true);
  expect(await b.nextText()).toBe(roomFull);

  clock.advance(50);
  expect((await a.next()).subarray(2).toString()).toBe(roomFull);
});

/** A peer that is there, and one that has just come and says nothing, in a time that stands still. */
async function withNewcomer(
  env: Record<string, string> = {},
  options: Omit<RawClientOptions, "appId"> = {},
) {
  const clock = fakeClock();
  const server = await testServer({ ...calm, ...env }, { clock });
  const room = appId();
  const peer = await TestClient.open(server.ws, room, "A", { v2: true });
  await peer.nextOf("welcome");
  const newcomer = await RawClient.open(server.ws, {
    appId: room,
    side: "B",
    listens: false,
    ...options,
  });
  await peer.nextOf("peer_joined");
  return {
    clock,
    server,
    room,
    peer,
    newcomer,
    async [Symbol.asyncDispose]() {
      for (const one of [newcomer, peer, server]) await one[Symbol.asyncDispose]();
    },
  };
}

const ice = (n: number) => `{"type":"ice","candidate":"${n}"}`;

test.each([
  ["a frame", (peer: RawClient) => peer.send('{"type":"hello","side":"A"}')],
  ["a binary frame", (peer: RawClient) => peer.sendBinary(Buffer.from('{"type":"hello"}'))],
  ["a ping, and nothing else", (peer: RawClient) => peer.sendFrame(opcodes.ping)],
])("who sends %s is sent all at once", async (_, speak) => {
  await using here = await withNewcomer();
  here.peer.send(offer);
  await here.peer.settled();
  speak(here.newcomer);
  expect(await here.newcomer.nextText()).toBe(roomFull);
  expect(await here.newcomer.nextText()).toBe(offer);
});

test("a browser is sent all at once", async () => {
  await using here = await withNewcomer(
    { CORS_ORIGINS: "https://app.example.com" },
    { headers: { Origin: "https://app.example.com", "User-Agent": "Mozilla/5.0 (X11)" } },
  );
  expect(await here.newcomer.nextText()).toBe(roomFull);
});

test.skipIf(noBrowser)(
  "a real one misses nothing of it, and waits for nothing, 15 of 15",
  async () => {
    const clock = fakeClock();
    await using server = await testServer({ ...calm, DEV: "false", DEMO: "true" }, { clock });
    await using browser = new TestBrowser();
    const { page } = await browser.person(server.http);
    for (let i = 0; i < 15; i++) {
      const room = appId();
      await using a = await TestClient.open(server.ws, room, "A");
      const heard = page.evaluate(async (url) => {
        const socket = new WebSocket(url);
        await new Promise((resolve) => {
          socket.onopen = resolve;
        });
        return new Promise((resolve) => {
          socket.onmessage = ({ data }) => resolve(data);
        });
      }, `${server.ws}/ws?appID=${room}&side=B`);
      expect(await within("room_full", heard)).toBe(roomFull);
      expect(await a.nextText()).toBe(roomFull);
    }
  },
);

test("a pong, which libraries send by themselves, does not say that the client listens", async () => {
  await using here = await withNewcomer();
  here.newcomer.sendFrame(opcodes.pong);
  here.newcomer.sendFrame(opcodes.pong, Buffer.from("later"));
  await here.peer.settled();
  expect(await here.server.metric("nt_ws_buffered_bytes")).toBeGreaterThan(0);
});

test("who sends to a newcomer that is sent nothing yet is paused, and all of it arrives", async () => {
  await using here = await withNewcomer();
  const frames = Array.from({ length: 500 }, (_, i) => ice(i));
  for (const frame of frames) here.peer.send(frame);
  await here.server.metricBecomes("nt_ws_paused", (paused) => paused === 1);
  const waiting = await here.server.metric("nt_ws_buffered_bytes");
  expect(waiting).toBeGreaterThanOrEqual(32 * ice(0).length);
  here.clock.advance(50);
  expect(await here.newcomer.nextText()).toBe(roomFull);
  for (const frame of frames) {
    here.clock.advance(50);
    expect(await here.newcomer.nextText()).toBe(frame);
  }
  await here.server.metricBecomes("nt_ws_buffered_bytes", (bytes) => bytes === 0);
  expect(await here.server.metric("nt_ws_paused")).toBe(0);
});

test("so is who sends it more than WS_BUFFER", async () => {
  await using here = await withNewcomer({ WS_BUFFER: "65536" });
  const large = `{"type":"ice","candidate":"${"x".repeat(40_000)}"}`;
  for (let i = 0; i < 2; i++) here.peer.send(large);
  await here.server.metricBecomes("nt_ws_paused", (paused) => paused === 1);
  expect(await here.server.metric("nt_ws_buffered_bytes")).toBeGreaterThan(80_000);
  here.clock.advance(50);
  await here.newcomer.nextText();
  for (let i = 0; i < 2; i++) expect(await here.newcomer.nextText()).toBe(large);
  await here.server.metricBecomes("nt_ws_paused", (paused) => paused === 0);
});

test("mail waits in its mailbox for a newcomer that is sent nothing yet", async () => {
  await using here = await withNewcomer();
  for (let n = 1; n <= 100; n++) here.peer.send({ type: "send", to: "B", payload: `${n}` });
  await here.peer.settled();
  expect(await here.server.metric("nt_ws_buffered_bytes")).toBeLessThan(1_000);
  here.clock.advance(50);
  expect(await here.newcomer.nextText()).toBe(roomFull);
  for (let n = 1; n <= 100; n++) {
    expect(JSON.parse(await here.newcomer.nextText())).toMatchObject({ seq: n, payload: `${n}` });
  }
});

test("what waited for a newcomer that leaves is not counted any more, and its peer hears of it", async () => {
  await using here = await withNewcomer();
  here.peer.send(offer);
  await here.peer.settled();
  here.newcomer.reset();
  expect(await here.peer.next()).toEqual({ type: "peer_left" });
  expect(await here.server.metric("nt_ws_buffered_bytes")).toBe(0);
  here.clock.advance(1_000);
  expect(await here.peer.settled()).toEqual([]);
});

test("a newcomer that is taken over before it was sent anything hears all in order, its close last", async () => {
  await using here = await withNewcomer({}, { sid: "s" });
  here.peer.send(offer);
  await here.peer.settled();
  await using next = await RawClient.open(here.server.ws, {
    appId: here.room,
    side: "B",
    sid: "s",
    listens: false,
  });
  next.send('{"type":"hello"}');
  expect(await next.nextText()).toBe(roomFull);
  here.peer.send(ice(1));
  expect(await next.nextText()).toBe(ice(1));

  here.clock.advance(50);
  expect(await here.newcomer.nextText()).toBe(roomFull);
  expect(await here.newcomer.nextText()).toBe(offer);
  expect(await here.newcomer.ended).toEqual({ code: 1000, reason: "replaced" });
});

test("a newcomer that is parked is sent nothing for it, and has the seat when that is free", async () => {
  await using here = await withNewcomer();
  await using parked = await RawClient.open(here.server.ws, {
    appId: here.room,
    side: "B",
    listens: false,
  });
  await here.server.metricBecomes("nt_ws_parked", (count) => count === 1);
  await here.newcomer.settled();
  here.newcomer.sendClose();
  expect(await here.peer.nextOf("peer_joined")).toBeDefined();
  here.peer.send(offer);
  await here.peer.settled();
  expect(parked.bytesRead).toBe(0);
  here.clock.advance(50);
  expect(await parked.nextText()).toBe(roomFull);
  expect(await parked.nextText()).toBe(offer);
});

test("a server that goes sends a newcomer its close once that listens", async () => {
  await using server = await testServer();
  await using newcomer = await RawClient.open(server.ws, { listens: false });
  await server.stop();
  expect(await newcomer.ended).toEqual({ code: 1001, reason: "server going away" });
});

interface Upgraded extends AsyncDisposable {
  /** All that came in one piece with the status line. */
  readonly answer: string;
  next(): Promise<Buffer>;
}

/** A socket whose reads a test sees one by one. */
async function upgraded(port: number, target: string): Promise<Upgraded> {
  const socket = connect(port, "127.0.0.1");
  const chunks: Buffer[] = [];
  const changes = new Changes();
  socket.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    changes.changed();
  });
  const next = () => changes.until("bytes", () => chunks.shift());
  socket.write(
    `GET ${target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
  );
  const answer = (await next()).toString("latin1");
  return {
    answer,
    next,
    async [Symbol.asyncDispose]() {
      socket.destroy();
    },
  };
}
