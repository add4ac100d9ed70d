import { test as anyTest, expect } from "bun:test";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { TestClient } from "../support/client.ts";
import { Program } from "../support/program.ts";
import { redisMissing, TestRedis } from "../support/redis.ts";
import { testServer } from "../support/server.ts";
import { until } from "../support/waiting.ts";

const test = anyTest.skipIf(redisMissing);

test("nodes of other settings or versions tell of each other, once, and nothing that is secret", async () => {
  await using redis = await TestRedis.start();
  const env = {
    REDIS_URL: redis.url,
    DRAIN: "0",
    TURN_URLS: "turn:t.example",
    TURN_SECRET: "s3cret",
  };
  await using one = await testServer({ ...env, ROOM_TTL: "5m" });
  await using two = await testServer({ ...env, ROOM_TTL: "6m" });
  const warnings = (server: { readonly logLines: readonly string[] }) =>
    server.logLines
      .map((line) => JSON.parse(line) as { msg: string; settings?: string })
      .flatMap(({ msg, settings }) => (msg === "nodes differ" ? [settings] : []));
  await until("the second to tell", () => warnings(two).length > 0);
  await redis.ask("CLIENT", "KILL", "TYPE", "normal");
  await until("the first to tell", () => warnings(one).length > 0);
  expect(warnings(two)).toEqual(["ROOM_TTL: 360000 here, 300000 there"]);
  expect(warnings(one)).toEqual(["ROOM_TTL: 300000 here, 360000 there"]);
  expect(await redis.ask("GET", "nt:{rv}:settings")).not.toContain("s3cret");
});

test("a node that meets one of another format says that they share nothing", async () => {
  await using redis = await TestRedis.start();
  const settings = { version: "0.0.9", ROOM_TTL: "600000" };
  await redis.ask("SET", "nt:{rv}:settings", JSON.stringify({ node: "older", settings }));
  await using server = await testServer({ REDIS_URL: redis.url, DRAIN: "0" });
  const said = () => server.logLines.find((line) => line.includes("nodes of two formats"));
  await until("the node to say so", () => said() !== undefined);
  expect(said()).toContain("format: 2 here, none there");
  expect(said()).toContain("REDIS_PREFIX");
});

test("a user with the rights that docs/cluster.md lists will do, and one without functions is told at the start", async () => {
  await using redis = await TestRedis.start();
  const docs = await Bun.file(join(import.meta.dir, "../../docs/cluster.md")).text();
  const rights = /^ACL SETUSER nt-signal (.*)$/m.exec(docs)?.[1]?.split(" ") ?? [];
  await redis.ask("ACL", "SETUSER", "nt-signal", ...rights);
  const REDIS_URL = redis.url.replace("://", "://nt-signal:password@");
  await using one = await testServer({ REDIS_URL, DRAIN: "0" });
  await using two = await testServer({ REDIS_URL, DRAIN: "0" });
  const { code, appID } = await one.mint();
  expect((await two.redeem(code)).status).toBe(200);
  await using a = await TestClient.open(one.ws, appID, "A", { v2: true });
  await using b = await TestClient.open(two.ws, appID, "B", { v2: true });
  for (const peer of [a, b]) await peer.nextOf("peer_joined");
  a.send({ type: "send", to: "B", id: "1", payload: "mail" });
  await a.nextOf("stored");
  await redis.ask("ACL", "SETUSER", "nt-signal", "-function");
  await redis.ask("FUNCTION", "FLUSH");
  await using program = await Program.start({ REDIS_URL });
  expect(await program.exit()).toBe(1);
  expect(program.stderr).toContain("docs/cluster.md");
  expect(program.stderr).not.toContain("password");
});

test("what a node sends to Redis has no secret of its settings in it", async () => {
  await using redis = await TestRedis.start();
  const secrets = { TURN_SECRET: "turn-secret-5d1f", METRICS_TOKEN: "metrics-token-77aa" };
  let sent = "";
  const data = (_: unknown, bytes: Buffer) => {
    sent += bytes.toString();
  };
  const { port } = redis;
  using monitor = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data } });
  monitor.write("MONITOR\r\n");
  await until("Redis to show what it is sent", () => sent.startsWith("+OK"));
  const turn = { TURN_URLS: "turn:turn.example:3478", ...secrets };
  await using node = await testServer({ REDIS_URL: redis.url, ...turn });
  await node.mint();
  await until("the mint to be seen", () => sent.includes('"claim"'));
  expect(Object.values(secrets).filter((secret) => sent.includes(secret))).toEqual([]);
});

test("a node has its id in every line of its log and in nt_build_info", async () => {
  await using redis = await TestRedis.start();
  await using node = await Program.start({ REDIS_URL: redis.url, METRICS_ROUTE: "/metrics" });
  const url = await node.listening();
  const text = await (await fetch(new URL("/metrics", url))).text();
  const id = /^nt_build_info\{.*node="([0-9a-f]{12})"/m.exec(text)?.[1];
  expect(id).toBeDefined();
  expect(node.log().length).toBeGreaterThan(1);
  expect(new Set(node.log().map((line) => line["node"]))).toEqual(new Set([id]));
});

test("TURN credentials of a node whose clock is two hours slow end when Redis's clock says", async () => {
  await using redis = await TestRedis.start();
  const turn = { TURN_URLS: "turn:127.0.0.1:3478", TURN_SECRET: "north", TURN_TTL: "1h" };
  const slow = { ...systemClock, now: () => Date.now() - 7_200_000 };
  const env = { REDIS_URL: redis.url, DRAIN: "0", ...turn };
  await using server = await testServer(env, { clock: slow });
  const { code, appID } = await server.mint();
  await server.redeem(code);
  await using _a = await TestClient.open(server.ws, appID, "A");
  const answer = await fetch(`${server.http}/rendezvous/ice`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ appID, side: "A" }),
  });
  const { expiresAt } = (await answer.json()) as { expiresAt: string };
  expect(Date.parse(expiresAt) - Date.now()).toBeGreaterThan(3_500_000);
});
