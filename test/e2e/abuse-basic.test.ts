import { expect, test } from "bun:test";
import net from "node:net";
import { type Clock, cryptoRandom, systemClock } from "../../src/base/clock.ts";
import { openPair, type Pair } from "../support/client.ts";
import { RawClient } from "../support/raw-client.ts";
import { rawRequest } from "../support/raw-http.ts";
import { testServer } from "../support/server.ts";
import { within } from "../support/waiting.ts";

/** Frames go both ways between the pair, complete and in order. */
async function relays({ a, b }: Pair): Promise<void> {
  const frames = Array.from({ length: 50 }, (_, n) => JSON.stringify({ type: "ice", n }));
  for (const frame of frames) {
    a.send(frame);
    b.send(frame);
  }
  expect(await b.nextTexts(50)).toEqual(frames);
  expect(await a.nextTexts(50)).toEqual(frames);
  for (const peer of [a, b]) expect(await peer.settled()).toEqual([]);
}

/** The same bytes in every run, and no sense in them. */
function noise(bytes: number, seed: number): Buffer {
  const buffer = Buffer.alloc(bytes);
  let state = seed;
  for (let i = 0; i < bytes; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    buffer[i] = state >>> 24;
  }
  return buffer;
}

test.each([
  ["noise", (peer: RawClient) => peer.sendRaw(noise(100_000, 7))],
  ["an HTTP request", (peer: RawClient) => peer.sendRaw(Buffer.from("GET / HTTP/1.1\r\n\r\n"))],
])("a peer that sends %s is out, and nobody else notices", async (_, misbehave) => {
  await using server = await testServer();
  await using pair = await openPair(server);
  await using rogue = await RawClient.open(server.ws);
  misbehave(rogue);
  await rogue.ended;
  await relays(pair);
  expect(await server.metric("nt_peers_active")).toBe(2);
});

test("a peer that floods the server with nonsense disturbs only itself", async () => {
  await using server = await testServer({ WS_MAX_MSG: "65536" });
  await using pair = await openPair(server);
  await using rogue = await RawClient.open(server.ws);
  const nonsense = [
    "",
    "{",
    "[".repeat(60_000),
    `{"type":${"[".repeat(30_000)}${"]".repeat(30_000)}}`,
    `{"type":"send","to":"B","payload":${"[".repeat(30_000)}${"]".repeat(30_000)}}`,
    `{"type":"${"x".repeat(60_000)}"}`,
    '{"type":{"toString":1}}',
    '{"__proto__":null,"type":"hello","deliveredUpTo":1e308}',
    '{"type":"hello","deliveredUpTo":9007199254740993}',
    '{"type":"delivered","upTo":{}}',
    '{"type":"send","to":"__proto__","payload":0}',
    '{"type":"send","to":["A"],"payload":0}',
    '{"type":"telemetry","event":"ice-connected","mode":[1]}',
    '{"type":"telemetry"}',
  ];
  for (let round = 0; round < 10; round++) {
    for (const text of nonsense) rogue.send(text);
    rogue.sendBinary(noise(1_000, round));
  }
  await Promise.all([relays(pair), rogue.settled()]);
  const metrics = await (await fetch(`${server.http}/metrics`)).text();
  expect(metrics).not.toContain("xxx");
  expect(server.logLines.filter((line) => line.includes('"error"'))).toEqual([]);
});

test("requests that are none are answered with a problem or hung up on, and no stack", async () => {
  await using server = await testServer();
  await using pair = await openPair(server);
  for (const target of ["/ws?%ff=%", "/%00", "//", "/ws/../metrics/x", `/${"a".repeat(8_000)}`]) {
    const { status, body } = await rawRequest(server.http, { target });
    expect(status).toBeWithin(400, 500);
    expect(body).not.toContain("    at ");
  }
  for (const body of ['{"code":', "\0", '{"code":{"length":4}}', "9".repeat(4_000)]) {
    const headers = { "content-type": "application/json" };
    const redeem = { method: "POST", target: "/rendezvous/redeem", headers, body };
    expect((await rawRequest(server.http, redeem)).status).toBe(400);
  }
  await relays(pair);
});

test("bodies that never end hold nobody up, and end with their senders", async () => {
  await using server = await testServer();
  await using pair = await openPair(server);
  const head =
    "POST /rendezvous/redeem HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" +
    "Content-Length: 4000\r\n\r\n";
  const slow = await Promise.all(
    Array.from({ length: 50 }, async () => {
      const socket = net.connect(server.port, "127.0.0.1");
      socket.on("error", () => {});
      await new Promise((connected) => socket.once("connect", connected));
      socket.write(head);
      return socket;
    }),
  );
  for (let byte = 0; byte < 5; byte++) {
    for (const socket of slow) socket.write(" ");
    await relays(pair);
    expect((await server.redeem((await server.mint()).code)).status).toBe(200);
  }
  for (const socket of slow) socket.resetAndDestroy();
  await relays(pair);
});

test("10 MB are read no further than 4 KB of them are wanted", async () => {
  await using server = await testServer();
  const body = "1".repeat(10_485_760);
  for (const path of ["/rendezvous/redeem", "/rendezvous/ice"]) {
    const headers = { "content-type": "application/json" };
    const answer = await fetch(server.http + path, { method: "POST", headers, body }).catch(
      () => undefined,
    );
    // Whoever still writes may find the connection closed before it reads the answer.
    if (answer !== undefined) expect(answer.status).toBe(413);
  }
  await server.mint();
});

test.each([
  ["CL and TE", "Content-Length: 4\r\nTransfer-Encoding: chunked"],
  ["TE and CL", "Transfer-Encoding: chunked\r\nContent-Length: 4"],
  ["two lengths", "Content-Length: 4\r\nContent-Length: 5"],
])("a request with %s is refused, and what follows it is no request", async (_, framing) => {
  await using server = await testServer();
  const socket = net.connect(server.port, "127.0.0.1");
  let answers = "";
  socket.on("data", (chunk: Buffer) => {
    answers += chunk.toString();
  });
  const closed = new Promise((resolve) => socket.on("close", resolve));
  const smuggled = "POST /rendezvous/code HTTP/1.1\r\nHost: x\r\n\r\n";
  const carrier = `POST /rendezvous/redeem HTTP/1.1\r\nHost: x\r\n${framing}\r\n\r\n0\r\n\r\n`;
  socket.write(carrier + smuggled);
  await within("the connection to close", closed);
  expect(answers).toStartWith("HTTP/1.1 400 ");
  expect(answers.match(/HTTP\/1\.1/g)).toHaveLength(1);
  expect(await server.metric("nt_codes_minted_total")).toBe(0);
});

test("a target may name its host; what it asks for is the same", async () => {
  await using server = await testServer();
  const get = async (target: string) => (await rawRequest(server.http, { target })).status;
  expect(await get("http://elsewhere.example/healthz")).toBe(200);
  expect(await get("http://elsewhere.example:99/nowhere")).toBe(404);
  expect(await get("healthz")).toBeWithin(400, 500);
});

/** A stand-in that fails once, when it is told to. */
function faulty<A extends readonly unknown[], R>(real: (...args: A) => R) {
  let broken = false;
  return {
    breakOnce() {
      broken = true;
    },
    call(...args: A): R {
      if (!broken) return real(...args);
      broken = false;
      throw new Error("the stand-in fails");
    },
  };
}

test("a request whose handler throws is answered with 500 and no cause; the next one is served", async () => {
  const random = faulty(cryptoRandom);
  await using server = await testServer({}, { random: random.call });
  await using pair = await openPair(server);
  random.breakOnce();
  const failed = await fetch(`${server.http}/rendezvous/code`, { method: "POST" });
  expect(failed.status).toBe(500);
  expect(failed.headers.get("content-type")).toBe("application/problem+json");
  const body = await failed.text();
  expect(JSON.parse(body)).toMatchObject({ status: 500, code: "internal" });
  expect(body).not.toContain("stand-in");
  expect(server.logLines.join("")).toContain("the stand-in fails");
  await server.mint();
  await relays(pair);
});

test("a frame whose handler throws is logged; its sender stays, and so does everybody else", async () => {
  const now = faulty(systemClock.now);
  const clock: Clock = { ...systemClock, now: now.call, every: () => () => {} };
  await using server = await testServer({}, { clock });
  await using pair = await openPair(server);
  await using other = await openPair(server);
  now.breakOnce();
  pair.a.send({ type: "telemetry", event: "ice-connected" });
  await pair.a.settled();
  expect(server.logLines.join("")).toContain("the stand-in fails");
  await relays(pair);
  await relays(other);
});

// The length of an id is asked for before its type, and this one cannot be compared.
test("an id that is no string is a bad field, and no fault of the server's", async () => {
  await using server = await testServer();
  await using pair = await openPair(server, { a: { v2: true } });
  pair.a.send('{"type":"send","to":"B","payload":1,"id":{"length":{"toString":null}}}');
  expect(await pair.a.settled()).toMatchObject([{ type: "error", code: "bad_field" }]);
});
