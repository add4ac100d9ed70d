import { describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { TestClient } from "../support/client.ts";
import { fakeClock } from "../support/clock.ts";
import { requireProgram } from "../support/program.ts";
import { RawClient } from "../support/raw-client.ts";
import { testServer } from "../support/server.ts";
import { Changes, within } from "../support/waiting.ts";

const roomFull = '{"type":"room_full"}';
const node = requireProgram("node");
/** What a clock that stands still makes due is not what these tests are about. */
const calm = { HEARTBEAT: "10m" };

describe.skipIf(node.missing)("clients that set their listener once their socket is open", () => {
  test.each(["ws-7", "ws-8.17", "ws-8.23"])(
    "meet with %s, the receiver first, and hear room_full before the offer",
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
        expect(await met).toBe(`${roomFull} {"type":"offer"}\n`.repeat(pairs));
      } finally {
        child.kill();
      }
    },
  );
});

test("nothing follows the 101, whatever waits to be told", async () => {
  const clock = fakeClock();
  await using server = await testServer(calm, { clock });
  const appId = crypto.randomUUID();
  await using b = await TestClient.open(server.ws, appId, "B", { v2: true });
  await b.nextOf("welcome");
  await using a = await upgraded(server.port, `/ws?appID=${appId}&side=A`);
  expect(a.answer.startsWith("HTTP/1.1 101 ")).toBe(true);
  expect(a.answer.endsWith("\r\n\r\n")).toBe(true);
  expect(await b.settled()).toEqual([]);

  clock.advance(50);
  expect(await b.next()).toEqual({ type: "room_full" });
  expect((await a.next()).subarray(2).toString()).toBe(roomFull);
});

test("a refusal that a newcomer earns at once does not follow the 101 either", async () => {
  const clock = fakeClock();
  await using server = await testServer({ ...calm, MAX_ROOMS: "2" }, { clock });
  await using first = await RawClient.open(server.ws, { side: "A", joins: false });
  await using second = await upgraded(server.port, `/ws?appID=${crypto.randomUUID()}&side=A`);
  expect(second.answer.endsWith("\r\n\r\n")).toBe(true);
  // Both were let in before either had a room; unminted rooms have half of the space.
  clock.advance(50);
  await first.settled();
  const close = await second.next();
  expect(close.readUInt8(0) & 0x0f).toBe(8);
  expect(close.readUInt16BE(2)).toBe(1013);
});

test.each([
  ["frame", (peer: RawClient) => peer.send('{"type":"hello","side":"A"}')],
  ["ping", (peer: RawClient) => peer.sendFrame(9)],
])("who sends a %s is told at once", async (_, speak) => {
  const clock = fakeClock();
  await using server = await testServer(calm, { clock });
  const appId = crypto.randomUUID();
  await using b = await TestClient.open(server.ws, appId, "B");
  await using a = await RawClient.open(server.ws, { appId, side: "A", joins: false });
  expect(await b.settled()).toEqual([]);
  speak(a);
  expect(await a.nextText()).toBe(roomFull);
  expect(await b.nextText()).toBe(roomFull);
});

test("who leaves before it was told anything is not noticed by the other side", async () => {
  const clock = fakeClock();
  await using server = await testServer(calm, { clock });
  const appId = crypto.randomUUID();
  await using b = await TestClient.open(server.ws, appId, "B", { v2: true });
  await b.nextOf("welcome");
  await using a = await RawClient.open(server.ws, { appId, side: "A", joins: false });
  a.reset();
  await server.metricBecomes('nt_closes_total{reason="client"}', (n) => n === 1);
  clock.advance(1_000);
  expect(await b.settled()).toEqual([]);
  expect(await server.metric("nt_peers_active")).toBe(1);
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
