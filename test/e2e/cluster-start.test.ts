import { test as anyTest, describe, expect } from "bun:test";
import { createServer } from "node:net";
import { selfSigned } from "../support/certificate.ts";
import { TestClient } from "../support/client.ts";
import { freePort, Program } from "../support/program.ts";
import { startProxy } from "../support/proxy.ts";
import { redisMissing, TestRedis } from "../support/redis.ts";
import { testServer } from "../support/server.ts";
import { until } from "../support/waiting.ts";

const test = anyTest.skipIf(redisMissing);

/** Starts the program with this Redis; it ends at once and says why in one line. */
async function fault(env: Record<string, string>): Promise<string> {
  await using program = await Program.start(env);
  expect(await program.exit()).toBe(1);
  expect(program.stderr.trim().split("\n")).toHaveLength(1);
  return program.stderr;
}

/** The warnings of a server that has started. */
async function warnings(env: Record<string, string>): Promise<readonly string[]> {
  await using server = await testServer(env);
  const lines = server.logLines.map((line) => JSON.parse(line) as { level: string; msg: string });
  return lines.flatMap(({ level, msg }) =>
    level === "warn" && msg.includes("Redis") ? [msg] : [],
  );
}

describe("the server does not start, and says why, with", () => {
  test("a wrong password, a missing one, and never shows it", async () => {
    await using redis = await TestRedis.start({ args: ["--requirepass", "right"] });
    const wrong = await fault({ REDIS_URL: `redis://:s3cret@127.0.0.1:${redis.port}` });
    expect(wrong).toContain("does not accept the user and password in REDIS_URL");
    expect(wrong).not.toContain("s3cret");
    expect(await fault({ REDIS_URL: redis.url })).toContain("asks for a password");
  });

  test("no Redis where there should be one", async () => {
    const said = await fault({ REDIS_URL: `redis://127.0.0.1:${await freePort()}` });
    expect(said).toContain("cannot be reached (ECONNREFUSED)");
  });

  test("a read-only replica: it names the primary", async () => {
    await using primary = await TestRedis.start();
    const args = ["--replicaof", "127.0.0.1", String(primary.port)];
    await using replica = await TestRedis.start({ args });
    const said = await fault({ REDIS_URL: replica.url });
    expect(said).toContain(`read-only replica. Name its primary (127.0.0.1:${primary.port})`);
  });

  test("a Redis that is too old, and what is no Redis", async () => {
    await using old = await answering("$20\r\nredis_version:6.2.14\r\n");
    expect(await fault({ REDIS_URL: old.url })).toContain(
      "is version 6.2.14, but at least 7.0 is required",
    );
    await using web = await answering("HTTP/1.1 400 Bad Request\r\n\r\n");
    expect(await fault({ REDIS_URL: web.url })).toContain("without an answer");
  });

  test("TLS where there is none, none where there is, and a certificate nobody vouches for", async () => {
    await using certificate = await selfSigned();
    await using redis = await withTls(certificate);
    const plain = await fault({
      REDIS_URL: `rediss://127.0.0.1:${redis.port}`,
      REDIS_TIMEOUT: "1s",
    });
    expect(plain).toContain("REDIS_URL has to begin with redis://");
    const secure = await fault({
      REDIS_URL: `redis://127.0.0.1:${redis.tlsPort}`,
      REDIS_TIMEOUT: "1s",
    });
    expect(secure).toContain("REDIS_URL has to begin with rediss://");
    const unknown = await fault({ REDIS_URL: `rediss://127.0.0.1:${redis.tlsPort}` });
    expect(unknown).toContain("is not trusted");
    expect(unknown).toContain("REDIS_CA_FILE");
  });

  test("settings that contradict each other", async () => {
    const said = await Program.start({ REDIS_URL: "redis://localhost", STATE_FILE: "state" });
    await using program = said;
    expect(await program.exit()).toBe(1);
    expect(program.stderr).toContain("STATE_FILE");
    await using other = await Program.start({ REDIS_URL: "http://user:s3cret@localhost" });
    expect(await other.exit()).toBe(1);
    expect(other.stderr).toContain('REDIS_URL="***"');
    expect(other.stderr).not.toContain("s3cret");
  });
});

describe("the server starts", () => {
  test("over TLS with the authority's file", async () => {
    await using certificate = await selfSigned();
    await using redis = await withTls(certificate);
    await using server = await testServer({
      REDIS_URL: `rediss://127.0.0.1:${redis.tlsPort}`,
      REDIS_CA_FILE: certificate.certFile,
      DRAIN: "0",
    });
    const { code } = await server.mint();
    expect((await server.redeem(code)).status).toBe(200);
  });

  test("with one warning that names what a crash can lose, and none when that is nothing", async () => {
    await using memory = await TestRedis.start();
    expect(await warnings({ REDIS_URL: memory.url, DRAIN: "0" })).toEqual([
      expect.stringContaining("appendonly no"),
    ]);
    const args = ["--appendonly", "yes", "--appendfsync", "everysec"];
    await using everySecond = await TestRedis.start({ args });
    expect(await warnings({ REDIS_URL: everySecond.url, DRAIN: "0" })).toEqual([
      expect.stringContaining("two seconds"),
    ]);
    await using durable = await TestRedis.start({ durable: true });
    expect(await warnings({ REDIS_URL: durable.url, DRAIN: "0" })).toEqual([]);
  });

  test("as far from Redis as a quarter of REDIS_TIMEOUT, and mints and redeems there", async () => {
    await using redis = await TestRedis.start();
    await using network = startProxy(redis.port, 200);
    const REDIS_URL = network.http.replace("http", "redis");
    await using server = await testServer({ REDIS_URL, REDIS_TIMEOUT: "1600ms", DRAIN: "0" });
    await until("readiness", async () => (await fetch(`${server.http}/readyz`)).ok);
    const { code } = await server.mint();
    expect((await server.redeem(code)).status).toBe(200);
  });

  test("with a database of its own", async () => {
    await using redis = await TestRedis.start();
    await using server = await testServer({ REDIS_URL: `${redis.url}/0`, DRAIN: "0" });
    await using other = await testServer({ REDIS_URL: `${redis.url}/3`, DRAIN: "0" });
    const { code } = await server.mint();
    expect((await other.redeem(code)).status).toBe(410);
    expect((await server.redeem(code)).status).toBe(200);
    expect(await fault({ REDIS_URL: `${redis.url}/99` })).toContain("DB index is out of range");
  });

  test("under a prefix of its own, apart from others on the same Redis", async () => {
    await using redis = await TestRedis.start();
    await using one = await testServer({ REDIS_URL: redis.url, DRAIN: "0" });
    await using two = await testServer({ REDIS_URL: redis.url, REDIS_PREFIX: "two:", DRAIN: "0" });
    const { code } = await one.mint();
    expect((await two.redeem(code)).status).toBe(410);
    expect((await one.redeem(code)).status).toBe(200);
    expect(await redis.ask("KEYS", "two:*")).not.toEqual(await redis.ask("KEYS", "nt:*"));
  });
});

/** Redis without TLS on one port and with it on another. */
async function withTls({ certFile, keyFile }: { certFile: string; keyFile: string }) {
  const tlsPort = await freePort();
  const tls = ["--tls-port", String(tlsPort), "--tls-auth-clients", "no"];
  const files = ["--tls-cert-file", certFile, "--tls-key-file", keyFile];
  const redis = await TestRedis.start({ args: [...tls, ...files] });
  return Object.assign(redis, { tlsPort });
}

/** Something that answers everything with the same bytes. */
async function answering(bytes: string) {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", () => socket.end(bytes));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("It has no port");
  return {
    url: `redis://127.0.0.1:${address.port}`,
    [Symbol.asyncDispose]: () => new Promise<void>((done) => server.close(() => done())),
  };
}

test("frames to another node go together where Redis is 10 ms away", async () => {
  await using redis = await TestRedis.start();
  await using network = startProxy(redis.port, 5);
  const env = { REDIS_URL: `redis://127.0.0.1:${network.port}`, FRAMES_PER_SEC: "0", DRAIN: "0" };
  await using one = await testServer(env);
  await using two = await testServer(env);
  const appId = crypto.randomUUID();
  await using a = await TestClient.open(one.ws, appId, "A");
  await using b = await TestClient.open(two.ws, appId, "B");
  for (const peer of [a, b]) await peer.nextOf("room_full");
  await redis.ask("CONFIG", "RESETSTAT");
  const frames = Array.from({ length: 500 }, (_, n) => `{"type":"ice","n":${n}}`);
  for (const frame of frames) a.send(frame);
  expect(await b.nextTexts(500)).toEqual(frames);
  const calls = await redis.calls();
  expect(calls.get("fcall")).toBeLessThan(30);
});
