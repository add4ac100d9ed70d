import { test as anyTest, expect } from "bun:test";
import { RedisClient } from "bun";
import { openPair, TestClient } from "../support/client.ts";
import { Program } from "../support/program.ts";
import { startProxy } from "../support/proxy.ts";
import { upgradeRequest } from "../support/raw-client.ts";
import { redisMissing, TestRedis } from "../support/redis.ts";
import { testServer } from "../support/server.ts";
import { until, within } from "../support/waiting.ts";

const test = anyTest.skipIf(redisMissing);

const roomFull = { type: "room_full" };

async function isReady(http: string): Promise<boolean> {
  return (await fetch(`${http}/readyz`)).ok;
}

test("a node killed without a word frees its seats within 2 × HEARTBEAT, and its mail is elsewhere", async () => {
  const heartbeatMs = 1_000;
  await using redis = await TestRedis.start();
  const env = { REDIS_URL: redis.url, HEARTBEAT: `${heartbeatMs}ms` };
  await using dying = await Program.start(env);
  await using other = await testServer({ ...env, DRAIN: "0" });
  const ws = (await dying.listening()).href.replace("http", "ws").replace(/\/$/, "");
  const appId = crypto.randomUUID();
  await using a = await TestClient.open(ws, appId, "A");
  await using b = await TestClient.open(other.ws, appId, "B", { v2: true });
  await b.nextOf("peer_joined");
  b.send({ type: "send", to: "A", id: "1", payload: "for who comes back" });
  await b.nextOf("stored");
  const killedAt = performance.now();
  dying.signal("SIGKILL");
  await a.closed;
  await b.nextOf("peer_left");
  expect(performance.now() - killedAt).toBeLessThan(2 * heartbeatMs);
  await using back = await TestClient.open(other.ws, appId, "A", { sid: "new" });
  back.send({ type: "hello", deliveredUpTo: 0 });
  expect(await back.nextOf("deliver")).toMatchObject({ seq: 1, payload: "for who comes back" });
  await b.nextOf("peer_joined");
});

test("a newcomer to a dead node's seat gets it without waiting for the lease", async () => {
  await using redis = await TestRedis.start();
  const env = { REDIS_URL: redis.url, HEARTBEAT: "10m" };
  await using dying = await Program.start(env);
  await using other = await testServer({ ...env, DRAIN: "0" });
  const ws = (await dying.listening()).href.replace("http", "ws").replace(/\/$/, "");
  const appId = crypto.randomUUID();
  await using a = await TestClient.open(ws, appId, "A");
  await using b = await TestClient.open(other.ws, appId, "B");
  await b.nextOf("room_full");
  dying.signal("SIGKILL");
  await a.closed;
  await using newcomer = await TestClient.open(other.ws, appId, "A");
  expect(await newcomer.next()).toEqual(roomFull);
  expect(await b.next()).toEqual(roomFull);
});

test("a client that goes away while its seat is taken gives it up, and is no longer counted", async () => {
  await using redis = await TestRedis.start();
  await using server = await testServer({ REDIS_URL: redis.url, HEARTBEAT: "10m", DRAIN: "0" });
  const appId = crypto.randomUUID();
  await using b = await TestClient.open(server.ws, appId, "B", { v2: true });
  await b.nextOf("welcome");
  redis.signal("SIGSTOP");
  const gone = new WebSocket(`${server.ws}/ws?appID=${appId}&side=A`);
  await server.metricBecomes("nt_ws_open", (open) => open === 2);
  gone.terminate();
  redis.signal("SIGCONT");
  await b.nextOf("peer_left");
  await server.metricBecomes("nt_ws_open", (open) => open === 1);
  await using a = await TestClient.open(server.ws, appId, "A");
  expect(await a.next()).toEqual(roomFull);
});

test("an offer that is sent as a peer's socket opens arrives on every node, 15 of 15", async () => {
  await using redis = await TestRedis.start();
  const env = { REDIS_URL: redis.url, HEARTBEAT: "10m", DRAIN: "0" };
  await using one = await testServer(env);
  await using two = await testServer(env);
  for (let i = 0; i < 15; i++) {
    const appId = crypto.randomUUID();
    await using a = await TestClient.open(one.ws, appId, "A");
    const b = new WebSocket(`${(i % 2 ? one : two).ws}/ws?appID=${appId}&side=B`);
    const heard: unknown[] = [];
    const both = new Promise<void>((resolve) => {
      b.onmessage = ({ data }) => void (heard.push(JSON.parse(data)) === 2 && resolve());
    });
    b.onopen = () => a.send({ type: "offer" });
    await within("room_full and the offer", both);
    expect(heard).toEqual([roomFull, { type: "offer" }]);
    expect(await a.next()).toEqual(roomFull);
    b.close();
  }
});

test("a Redis that hangs: 503 for what needs it, local pairs go on, others are sent away, and it heals", async () => {
  await using redis = await TestRedis.start();
  const env = { REDIS_URL: redis.url, REDIS_TIMEOUT: "600ms", HEARTBEAT: "1s", DRAIN: "0" };
  await using one = await testServer(env);
  await using two = await testServer(env);
  await using local = await openPair(one);
  const appId = crypto.randomUUID();
  await using a = await TestClient.open(one.ws, appId, "A");
  await using b = await TestClient.open(two.ws, appId, "B");
  for (const peer of [a, b]) await peer.nextOf("room_full");
  const { code } = await one.mint();

  redis.signal("SIGSTOP");
  await until("no readiness", async () => !(await isReady(one.http)));
  expect(await (await fetch(`${one.http}/readyz`)).json()).toMatchObject({ ready: false });
  expect((await fetch(`${one.http}/healthz`)).status).toBe(200);
  const minted = await fetch(`${one.http}/rendezvous/code`, { method: "POST" });
  const target = `/ws?appID=${crypto.randomUUID()}&side=A`;
  const upgrade = await fetch(one.http + target, { headers: upgradeRequest(target).headers ?? {} });
  for (const answer of [minted, await one.redeem(code), upgrade]) {
    expect(answer.status).toBe(503);
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await answer.json()).toMatchObject({ code: "store_unreachable" });
  }
  for (const peer of [a, b]) {
    expect(await within("the close of a socket apart", peer.closed)).toMatchObject({ code: 1013 });
  }
  for (let n = 0; n < 50; n++) {
    local.a.send({ type: "ice", n });
    expect(await local.b.next()).toEqual({ type: "ice", n });
  }

  redis.signal("SIGCONT");
  for (const { http } of [one, two]) await until("readiness", () => isReady(http));
  expect((await one.redeem(code)).status).toBe(200);
  await using a2 = await TestClient.open(two.ws, appId, "A");
  await using b2 = await TestClient.open(one.ws, appId, "B");
  for (const peer of [a2, b2]) await peer.nextOf("room_full");
  local.a.send({ type: "ice", after: "all" });
  expect(await local.b.nextOf("ice")).toEqual({ type: "ice", after: "all" });
  local.a.send({ type: "send", to: "B", payload: "mail" });
  local.b.send({ type: "hello", deliveredUpTo: 0 });
  expect(await local.b.nextOf("send")).toMatchObject({ payload: "mail" });
});

test("Redis gone and back, again and again: pairs on one node do not notice", async () => {
  await using redis = await TestRedis.start();
  await using network = startProxy(redis.port, 2);
  const REDIS_URL = `redis://127.0.0.1:${network.port}`;
  const env = { REDIS_URL, REDIS_TIMEOUT: "300ms", HEARTBEAT: "1s", DRAIN: "0" };
  await using server = await testServer(env);
  for (const how of ["reset", "silent"] as const) {
    await until("readiness", () => isReady(server.http));
    // The second of a pair has just come when Redis goes: nothing of its arrival is under way any more.
    await using pair = await openPair(server);
    network.down(how);
    for (let n = 0; n < 20; n++) {
      pair.a.send({ type: "ice", n });
      expect(await pair.b.nextOf("ice")).toEqual({ type: "ice", n });
      pair.b.send({ type: "ice", n });
      expect(await pair.a.nextOf("ice")).toEqual({ type: "ice", n });
    }
    await until("no readiness", async () => !(await isReady(server.http)));
    network.resetSilent();
    network.up();
    await until("readiness", () => isReady(server.http));
    for (const peer of [pair.a, pair.b]) expect(await peer.settled()).toEqual([]);
    pair.a.send({ type: "offer", after: "all" });
    expect(await pair.b.nextOf("offer")).toEqual({ type: "offer", after: "all" });
  }
});

test("why there is no connection is logged once a cause, and told by /readyz and the metrics", async () => {
  await using redis = await TestRedis.start();
  await using network = startProxy(redis.port);
  const REDIS_URL = `redis://:old-s3cret@127.0.0.1:${network.port}`;
  await redis.ask("CONFIG", "SET", "requirepass", "old-s3cret");
  await using server = await testServer({ REDIS_URL, REDIS_TIMEOUT: "600ms", DRAIN: "0" });
  expect(await server.metric("nt_store_up")).toBe(1);
  const reason = async () =>
    String(((await (await fetch(`${server.http}/readyz`)).json()) as { reason?: string }).reason);
  const causes = () =>
    server.logLines
      .map((line) => JSON.parse(line) as { msg: string; why?: string })
      .flatMap(({ msg, why }) => (msg === "redis connection failed" ? [why] : []));
  const gives = async (why: string, make: () => unknown) => {
    await make();
    await until(why, async () => (await reason()).includes(why));
  };
  const password = async (now: string, next: string) => {
    const client = new RedisClient(`redis://:${now}@127.0.0.1:${redis.port}`);
    await client.send("CONFIG", ["SET", "requirepass", next]);
    client.close();
  };

  await gives("wrong password", async () => {
    await password("old-s3cret", "new-s3cret");
    for (const connection of [...network.connections]) connection.cut("reset");
  });
  expect(await server.metric("nt_store_up")).toBe(0);
  // Nobody knows how many there are: the series is absent, and not as of some time ago.
  expect(await (await fetch(`${server.http}/metrics`)).text()).not.toMatch(/^nt_rooms_active /m);
  await gives("closes the connection", () => network.down("reset"));
  await gives("wrong password", () => network.up());
  await password("new-s3cret", "old-s3cret");
  await until("readiness", () => isReady(server.http));
  await gives("gives no answer", () => redis.signal("SIGSTOP"));
  redis.signal("SIGCONT");
  await until("readiness", () => isReady(server.http));
  expect(causes()).toEqual([
    "wrong password",
    "closes the connection",
    "wrong password",
    "gives no answer",
  ]);
  expect(await server.metric("nt_store_up")).toBe(1);
  expect(await server.metric("nt_store_reconnects_total")).toBe(2);
  expect(server.logLines.join("")).not.toContain("s3cret");
});

test("a Redis that comes back older than it was: connected pairs stay, are told, and lose nothing after that", async () => {
  await using redis = await TestRedis.start();
  const env = { REDIS_URL: redis.url, REDIS_TIMEOUT: "1s", HEARTBEAT: "2s", DRAIN: "0" };
  await using one = await testServer(env);
  await using two = await testServer(env);
  const appId = crypto.randomUUID();
  await using a = await TestClient.open(one.ws, appId, "A", { v2: true });
  await redis.ask("SAVE");
  // All of this is forgotten: that B came, frames, and mail that was answered, delivered and acknowledged.
  await using b = await TestClient.open(two.ws, appId, "B", { sid: "b" });
  for (const peer of [a, b]) await peer.nextOf("room_full");
  b.send({ type: "hello", deliveredUpTo: 0 });
  for (const id of ["1", "2", "3"]) {
    a.send({ type: "ice", n: id });
    expect(await b.nextOf("ice")).toEqual({ type: "ice", n: id });
    a.send({ type: "send", to: "B", id, payload: id });
    expect(await b.nextOf("deliver")).toMatchObject({ payload: id });
    await a.nextOf("stored");
  }
  b.send({ type: "delivered", upTo: 3 });
  await b.settled();

  await redis.goBack();
  for (const peer of [a, b]) await peer.nextOf("room_full");
  for (const id of ["4", "5", "6"]) {
    a.send({ type: "ice", n: id });
    expect(await b.nextOf("ice")).toEqual({ type: "ice", n: id });
    a.send({ type: "send", to: "B", id, payload: id });
    const stored = await a.nextOf("stored");
    expect(stored).toMatchObject({ id, seq: Number(id) });
    expect(await b.nextOf("deliver")).toMatchObject({ payload: id, seq: Number(id) });
  }
  // Nobody was sent away.
  for (const peer of [a, b]) expect(await peer.settled()).toEqual([]);
});

test("a Redis restarted empty: live rooms are there again, with relay and mail", async () => {
  await using redis = await TestRedis.start();
  const env = { REDIS_URL: redis.url, REDIS_TIMEOUT: "1s", HEARTBEAT: "2s", DRAIN: "0" };
  await using one = await testServer(env);
  await using two = await testServer(env);
  const appId = crypto.randomUUID();
  await using a = await TestClient.open(one.ws, appId, "A", { v2: true });
  await using b = await TestClient.open(two.ws, appId, "B", { v2: true });
  for (const peer of [a, b]) await peer.nextOf("peer_joined");
  b.send({ type: "hello", deliveredUpTo: 0 });
  for (const id of ["1", "2"]) {
    a.send({ type: "send", to: "B", id, payload: id });
    expect(await b.nextOf("send")).toMatchObject({ payload: id });
    await a.nextOf("stored");
  }

  await redis.kill();
  await redis.run();
  for (const peer of [a, b]) await peer.nextOf("room_full");
  a.send({ type: "offer", sdp: "anew" });
  expect(await b.nextOf("offer")).toEqual({ type: "offer", sdp: "anew" });
  a.send({ type: "send", to: "B", id: "3", payload: "3" });
  expect(await b.nextOf("send")).toMatchObject({ seq: 3, payload: "3" });
  await a.close();
  await b.nextOf("peer_left");
  await using back = await TestClient.open(two.ws, appId, "A");
  expect(await back.next()).toEqual(roomFull);
});

test("a Redis emptied while connected: the side that finds out has the other come back at once", async () => {
  await using redis = await TestRedis.start();
  // No lease is renewed while this test runs.
  const env = { REDIS_URL: redis.url, HEARTBEAT: "10m", DRAIN: "0" };
  await using one = await testServer(env);
  await using two = await testServer(env);
  const appId = crypto.randomUUID();
  await using a = await TestClient.open(one.ws, appId, "A");
  await using b = await TestClient.open(two.ws, appId, "B");
  for (const peer of [a, b]) await peer.nextOf("room_full");
  await redis.ask("FLUSHALL");
  a.send({ type: "ice", finds: "out" });
  for (const peer of [a, b]) await peer.nextOf("room_full");
  b.send({ type: "offer", sdp: "anew" });
  expect(await a.nextOf("offer")).toEqual({ type: "offer", sdp: "anew" });
});

test("with appendfsync always a Redis killed and restarted has all the mail that was answered", async () => {
  await using redis = await TestRedis.start({ durable: true });
  // Each write waits for the disk, which others use too.
  const env = { REDIS_URL: redis.url, REDIS_TIMEOUT: "10s", HEARTBEAT: "2s", DRAIN: "0" };
  await using server = await testServer(env);
  const appId = crypto.randomUUID();
  await using a = await TestClient.open(server.ws, appId, "A", { v2: true });
  const stored: number[] = [];
  for (let n = 1; n <= 200; n++) a.send({ type: "send", to: "B", id: `${n}`, payload: n });
  while (stored.length < 100) stored.push(Number((await a.nextOf("stored"))["seq"]));
  await redis.kill();
  await redis.run();
  await until("readiness", () => isReady(server.http));
  await using b = await TestClient.open(server.ws, appId, "B");
  b.send({ type: "hello", deliveredUpTo: 0 });
  for (const seq of stored) expect(await b.nextOf("send")).toMatchObject({ seq, payload: seq });
});

test("one node cut off: its clients find their room at another, and what it still holds is replaced", async () => {
  await using redis = await TestRedis.start();
  await using network = startProxy(redis.port);
  const env = { REDIS_TIMEOUT: "600ms", HEARTBEAT: "1s", DRAIN: "0" };
  await using cut = await testServer({ ...env, REDIS_URL: network.http.replace("http", "redis") });
  await using other = await testServer({ ...env, REDIS_URL: redis.url });
  await using pair = await openPair(cut);
  const appId = crypto.randomUUID();
  await using a = await TestClient.open(cut.ws, appId, "A", { sid: "a" });
  await using b = await TestClient.open(other.ws, appId, "B", { v2: true });
  await b.nextOf("peer_joined");

  network.down("silent");
  expect(await within("the close of a socket apart", a.closed)).toMatchObject({ code: 1013 });
  await b.nextOf("peer_left");
  await using again = await TestClient.open(other.ws, appId, "A", { sid: "a" });
  expect(await again.next()).toEqual(roomFull);
  await until("no readiness", async () => !(await isReady(cut.http)));
  pair.a.send({ type: "ice", still: "here" });
  expect(await pair.b.next()).toEqual({ type: "ice", still: "here" });
  await using heir = await TestClient.open(other.ws, pair.appId, "A");
  expect(await heir.settled()).toEqual([]);

  network.resetSilent();
  network.up();
  // Cut, since another client has its side: it may come back and wait for it.
  expect((await within("the end of what was replaced", pair.a.closed)).code).toBe(1006);
  await until("readiness", () => isReady(cut.http));
  await heir.nextOf("room_full");
  heir.send({ type: "ice", from: "the heir" });
  expect(await pair.b.nextOf("ice")).toEqual({ type: "ice", from: "the heir" });
});

test("a node that ends in order frees its seats as it goes, and its mail is elsewhere", async () => {
  await using redis = await TestRedis.start();
  const env = { REDIS_URL: redis.url, HEARTBEAT: "10m", DRAIN: "0" };
  await using going = await testServer(env);
  await using other = await testServer(env);
  const appId = crypto.randomUUID();
  await using a = await TestClient.open(going.ws, appId, "A", { v2: true });
  await using b = await TestClient.open(other.ws, appId, "B", { v2: true, sid: "b" });
  await b.nextOf("peer_joined");
  a.send({ type: "send", to: "B", id: "1", payload: "before it went" });
  await a.nextOf("stored");
  const stopped = going.stop();
  expect((await a.closed).code).toBe(1001);
  await b.nextOf("peer_left");
  await using back = await TestClient.open(other.ws, appId, "A", { v2: true });
  await back.nextOf("peer_joined");
  b.send({ type: "hello", deliveredUpTo: 0 });
  expect(await b.nextOf("deliver")).toMatchObject({ seq: 1, payload: "before it went" });
  await stopped;
});
