import { expect, test } from "bun:test";
import { openPair, TestClient } from "../support/client.ts";
import { Program } from "../support/program.ts";
import { encodeFrame, opcodes, RawClient } from "../support/raw-client.ts";
import { KeptConnection } from "../support/raw-http.ts";
import { testServer } from "../support/server.ts";

/** A request in flight: all of it but its last byte is at the server. */
async function heldUp(url: URL): Promise<KeptConnection> {
  const connection = await KeptConnection.open(url);
  const head = "POST /rendezvous/code HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2";
  await connection.write(`${head}\r\nContent-Type: application/json\r\n\r\n{`);
  // What came before a request that was answered has been read.
  for (let i = 0; i < 2; i++) await fetch(new URL("/healthz", url));
  return connection;
}

const upgradeHeaders = [
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
];

test("while it drains it says so, takes nobody on and finishes what is in flight", async () => {
  await using program = await Program.start();
  const url = await program.listening();
  const ws = `ws://${url.host}`;
  await using v1 = await openPair({ ws });
  await using v2 = await openPair({ ws }, { a: { v2: true }, b: { v2: true } });
  await using inFlight = await heldUp(url);
  await using asking = await KeptConnection.open(url);

  program.signal("SIGTERM");
  await v2.a.nextOf("draining");
  const ready = await asking.ask("GET /readyz");
  expect(ready.status).toBe(503);
  expect(JSON.parse(ready.body)).toEqual({ ready: false, reason: expect.stringMatching(/\w+/) });
  expect((await asking.ask("OPTIONS /readyz")).status).toBe(503);
  expect((await asking.ask("GET /healthz")).status).toBe(200);

  const refusedMint = await asking.ask("POST /rendezvous/code", ["Content-Length: 0"]);
  const target = `GET /ws?appID=${crypto.randomUUID()}&side=A`;
  const refusedUpgrade = await asking.ask(target, upgradeHeaders);
  for (const { status, headers, body } of [refusedMint, refusedUpgrade]) {
    expect(status).toBe(503);
    expect(Number(headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    expect(headers.get("content-type")).toBe("application/problem+json");
    expect(JSON.parse(body)).toMatchObject({ status: 503, code: "draining" });
  }

  await inFlight.write("}");
  const minted = await inFlight.answer();
  expect(minted.status).toBe(200);
  expect(JSON.parse(minted.body)).toMatchObject({ code: expect.any(String) });
  for (const peer of [v1.a, v1.b, v2.a, v2.b]) {
    expect(await peer.closed).toEqual({ code: 1001, reason: "server going away" });
  }
  expect(await program.exit()).toBe(0);
  expect(program.stderr).toBe("");
});

test("nt.v2 peers learn that the server drains and when to return, v1 peers hear no new frame", async () => {
  await using server = await testServer();
  await using mixed = await openPair(server, { a: { v2: true } });
  await server.stop();
  expect(await mixed.a.next()).toEqual({ type: "draining", retryAfterMs: 250 });
  expect((await mixed.a.closed).code).toBe(1001);
  expect((await mixed.b.closed).code).toBe(1001);
  expect(mixed.b.texts).toEqual([]);
  expect(mixed.a.texts.map((text) => JSON.parse(text).type)).not.toContain("draining");
});

test("clients that read, answer or finish nothing don't keep it", async () => {
  await using program = await Program.start();
  const url = await program.listening();
  const ws = `ws://${url.host}`;
  await using silent = await RawClient.open(ws, { autoPong: false });
  await using deaf = await RawClient.open(ws);
  await using halfOpen = await RawClient.open(ws);
  await using torn = await RawClient.open(ws);
  await using _waits = await KeptConnection.open(url);
  await using header = await KeptConnection.open(url);
  await using dribbles = await KeptConnection.open(url);
  for (const peer of [silent, deaf, halfOpen, torn]) await peer.settled();
  deaf.pause();
  halfOpen.halfClose();
  torn.sendRaw(encodeFrame(opcodes.text, Buffer.from("never whole")).subarray(0, 9));
  await header.write("GET /healthz HTTP/1.1\r\nHost: loc");
  const endless = "POST /rendezvous/code HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4096";
  await dribbles.write(`${endless}\r\n\r\n`);
  const dribbling = setInterval(() => void dribbles.write(" "), 20);
  program.signal("SIGTERM");
  try {
    expect(await program.exit()).toBe(0);
  } finally {
    clearInterval(dribbling);
  }
  expect(program.stderr).toBe("");
  for (const ended of [silent.ended, halfOpen.ended, torn.ended, dribbles.over()]) await ended;
});

test("a slow peer that was paused is sent away as all others", async () => {
  await using server = await testServer({ WS_BUFFER: "65536" });
  await using sender = await RawClient.open(server.ws, { side: "A", appId });
  await using slow = await RawClient.open(server.ws, { side: "B", appId });
  for (const peer of [sender, slow]) await peer.nextText();
  slow.pause();
  const frame = `{"type":"offer","sdp":"${"x".repeat(60_000)}"}`;
  for (let i = 0; i < 400; i++) sender.send(frame);
  const stopped = server.stop();
  expect((await sender.ended).code).toBe(1001);
  await stopped;
});

const appId = crypto.randomUUID();

test.each(["SIGTERM", "SIGINT"] as const)("a second %s ends it at once, with 1", async (signal) => {
  await using program = await Program.start();
  const url = await program.listening();
  await using _inFlight = await heldUp(url);
  program.signal(signal);
  await program.logged("stopping");
  program.signal(signal);
  expect(await program.exit()).toBe(1);
});

test("a code can be redeemed until the end", async () => {
  await using program = await Program.start();
  const url = await program.listening();
  const minted = await fetch(new URL("/rendezvous/code", url), { method: "POST" });
  const { code, appID } = (await minted.json()) as { code: string; appID: string };
  await using peer = await TestClient.open(`ws://${url.host}`, appID, "A", { v2: true });
  await using _inFlight = await heldUp(url);
  await using asking = await KeptConnection.open(url);
  program.signal("SIGTERM");
  await peer.nextOf("draining");
  const body = JSON.stringify({ code });
  const headers = `Content-Type: application/json\r\nContent-Length: ${body.length}`;
  await asking.write(
    `POST /rendezvous/redeem HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n\r\n${body}`,
  );
  const redeemed = await asking.answer();
  expect(redeemed.status).toBe(200);
  expect(JSON.parse(redeemed.body)).toMatchObject({ appID });
});

test("an idle server ends at once, and stopping it again changes nothing", async () => {
  await using server = await testServer();
  const once = server.stop();
  expect(server.stop()).toBe(once);
  await once;
  await expect(fetch(`${server.http}/healthz`)).rejects.toThrow();
});
