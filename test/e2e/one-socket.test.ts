import { describe, expect, test } from "bun:test";
import { TestClient } from "../support/client.ts";
import { fakeClock } from "../support/clock.ts";
import { opcodes, RawClient } from "../support/raw-client.ts";
import { redisMissing, TestRedis } from "../support/redis.ts";
import { testServer } from "../support/server.ts";
import { until } from "../support/waiting.ts";

/** A socket of `nt.v2` that has no room yet. */
const open = (server: { readonly ws: string }) =>
  TestClient.connect(`${server.ws}/ws`, { protocols: ["nt.v2"] });

describe("a socket without a room", () => {
  test("mints, redeems, and both are in one room, in one flight each", async () => {
    await using server = await testServer();
    await using a = await open(server);
    a.send({ type: "mint", sid: "ann" });
    a.send({ type: "hello" });
    const minted = await a.next();
    expect(minted).toMatchObject({ type: "minted", side: "A" });
    expect(String(minted["code"])).toMatch(/^[0-9]{4,8}$/);
    expect(await a.next()).toMatchObject({ type: "welcome", side: "A", peer: false });

    await using b = await open(server);
    b.send({ type: "redeem", code: minted["code"] });
    const types = ["redeemed", "welcome", "room_full", "peer_joined"];
    expect(await b.next()).toMatchObject({ type: "redeemed", side: "B", appID: minted["appID"] });
    for (const type of types.slice(1)) expect((await b.next()).type).toBe(type);
    for (const type of types.slice(2)) expect((await a.next()).type).toBe(type);
    a.send({ type: "offer", sdp: "o" });
    expect(await b.nextText()).toBe('{"type":"offer","sdp":"o"}');
  });

  test("joins a room that is known, and meets a client of the URL there", async () => {
    await using server = await testServer();
    const appId = crypto.randomUUID();
    await using a = await TestClient.open(server.ws, appId, "A");
    await using b = await open(server);
    b.send({ type: "join", appID: `{${appId.toUpperCase()}}`, side: "b" });
    expect((await b.next()).type).toBe("welcome");
    expect(await a.nextText()).toBe('{"type":"room_full"}');
    a.send({ type: "send", to: "B", payload: "x" });
    b.send({ type: "hello" });
    expect(await b.nextOf("deliver")).toMatchObject({ seq: 1, payload: "x" });
  });

  test("finds mail that waits with its welcome", async () => {
    await using server = await testServer();
    await using a = await open(server);
    a.send({ type: "mint" });
    const { code } = await a.next();
    a.send({ type: "send", to: "B", payload: "waits", id: "1" });
    await a.nextOf("stored");
    await using b = await open(server);
    b.send({ type: "redeem", code });
    b.send({ type: "hello" });
    const heard = (await b.settled()).map(({ type }) => type);
    expect(heard).toEqual(["redeemed", "welcome", "room_full", "peer_joined", "deliver"]);
  });

  test("takes its seat back by its sid, at once", async () => {
    await using server = await testServer();
    const join = { type: "join", appID: crypto.randomUUID(), side: "A", sid: "same" };
    await using first = await open(server);
    first.send(join);
    await first.nextOf("welcome");
    await using second = await open(server);
    second.send(join);
    await second.nextOf("welcome");
    expect(await first.closed).toEqual({ code: 1000, reason: "replaced" });
  });

  test("hears what HTTP answers by a problem, and may try again", async () => {
    await using server = await testServer({ REDEEM_FAILURES: "2" });
    await using b = await open(server);
    const refused = async (frame: object) => {
      b.send(frame);
      return b.next();
    };
    expect(await refused({ type: "redeem", code: "12" })).toMatchObject({
      ...{ type: "error", code: "malformed", detail: "redeem: code must have 4 to 8 digits." },
    });
    expect(await refused({ type: "join", appID: "x", side: "C" })).toMatchObject({
      ...{ code: "malformed", detail: "join: appID must be a UUID; side must be A or B." },
    });
    expect(await refused({ type: "offer", sdp: "" })).toMatchObject({ code: "no_room" });
    expect(await refused({ type: "of_the_future" })).toMatchObject({ code: "no_room" });
    b.send("no JSON");
    expect(await b.next()).toMatchObject({ code: "bad_json" });
    expect(await refused({ type: "redeem", code: "0000" })).toMatchObject({ code: "code_gone" });
    expect(await refused({ type: "redeem", code: "0000" })).toMatchObject({ code: "code_gone" });
    const locked = await refused({ type: "redeem", code: "0000" });
    expect(locked).toMatchObject({ type: "error", code: "too_many_misses" });
    expect(locked["retryAfterMs"]).toBeGreaterThan(0);
    // The same count as over HTTP.
    expect((await server.redeem("0000")).status).toBe(429);

    b.send({ type: "mint" });
    await b.nextOf("welcome");
    expect(await refused({ type: "mint" })).toMatchObject({ type: "error", code: "has_room" });
  });

  test("counts towards the rate of calls, and to its client's sockets", async () => {
    await using server = await testServer({ HTTP_RATE_PER_MIN: "1", SOCKETS_PER_CLIENT: "2" });
    await using a = await open(server);
    await using other = await open(server);
    await expect(open(server)).rejects.toThrow("was refused");
    a.send({ type: "mint" });
    expect((await a.next()).type).toBe("minted");
    other.send({ type: "mint" });
    const limited = await other.next();
    expect(limited).toMatchObject({ type: "error", code: "rate_limited" });
    expect(limited["retryAfterMs"]).toBeGreaterThan(0);
  });

  test("is closed when it has asked for no room for ROOM_TTL, and counted until then", async () => {
    const clock = fakeClock();
    await using server = await testServer({ ROOM_TTL: "1m", HEARTBEAT: "5m" }, { clock });
    await using a = await open(server);
    await server.metricBecomes("nt_ws_without_room", (count) => count === 1);
    clock.advance(59_000);
    expect(await a.settled()).toEqual([]);
    clock.advance(1_000);
    expect(await a.closed).toEqual({ code: 1000, reason: "no room asked for" });
    expect(await server.metric('nt_closes_total{reason="no_room"}')).toBe(1);
    await server.metricBecomes("nt_ws_without_room", (count) => count === 0);
  });

  test("is for clients of nt.v2 alone: others have to say which room in the URL", async () => {
    await using server = await testServer();
    await expect(TestClient.connect(`${server.ws}/ws`)).rejects.toThrow("was refused");
    await expect(
      TestClient.connect(`${server.ws}/ws?appID=x&side=A`, { protocols: ["nt.v2"] }),
    ).rejects.toThrow("was refused");
  });
});

describe("a socket without a room, under attack", () => {
  test("speaks binary frames and fragments, one after the other, and nothing too large", async () => {
    await using server = await testServer({ WS_MAX_MSG: "65536" });
    const { code } = await server.mint();
    await using b = await RawClient.open(server.ws, { roomless: true });
    b.send('{"type":"redeem","code":"0000"}');
    b.send('{"type":"hello"}');
    b.sendBinary(Buffer.from('{"type":"redeem"}'));
    const redeem = Buffer.from(JSON.stringify({ type: "redeem", code, pad: "x".repeat(60_000) }));
    b.sendFragmented(opcodes.text, [redeem.subarray(0, 20), redeem.subarray(20)]);
    b.send('{"type":"hello"}');
    const heard = (await b.settled()).map((text) => JSON.parse(text) as Record<string, unknown>);
    expect(heard.map(({ type, code = "" }) => `${type} ${code}`.trim())).toEqual([
      ...["error code_gone", "error no_room", "error malformed", "redeemed", "welcome"],
    ]);
    await using large = await RawClient.open(server.ws, { roomless: true });
    large.send("x".repeat(70_000));
    expect((await large.ended).code).toBe(1009);
  });

  test("a code is redeemed once, by however many sockets at a time", async () => {
    await using server = await testServer({ REDEEM_FAILURES: "0" });
    const { code } = await server.mint();
    const sockets = await Promise.all(Array.from({ length: 30 }, () => open(server)));
    for (const socket of sockets) socket.send({ type: "redeem", code });
    const answers = await Promise.all(sockets.map(async (socket) => (await socket.next()).type));
    expect(answers.filter((type) => type === "redeemed")).toHaveLength(1);
    await Promise.all(sockets.map((socket) => socket.close()));
  });

  test("guesses by many sockets are as few as over HTTP", async () => {
    await using server = await testServer({ REDEEM_FAILURES: "5" });
    const sockets = await Promise.all(Array.from({ length: 10 }, () => open(server)));
    for (const socket of sockets) {
      for (let n = 0; n < 3; n++) socket.send({ type: "redeem", code: "00000000" });
    }
    const answers = (await Promise.all(sockets.map((socket) => socket.settled()))).flat();
    expect(answers).toHaveLength(30);
    const refused = answers.filter(({ code }) => code === "too_many_misses");
    expect(refused.length).toBeGreaterThanOrEqual(25);
    await Promise.all(sockets.map((socket) => socket.close()));
  });

  test("hears that the server is going, and gets no room of it any more", async () => {
    const server = await testServer();
    await using a = await open(server);
    await using b = await open(server);
    const stopped = server.stop();
    expect(await a.next()).toMatchObject({ type: "draining" });
    await stopped;
    for (const one of [a, b]) expect(await one.closed).toMatchObject({ code: 1001 });
  });

  test.skipIf(redisMissing)("may ask again once the store is back", async () => {
    await using redis = await TestRedis.start();
    await using server = await testServer({ REDIS_URL: redis.url });
    await using a = await open(server);
    redis.signal("SIGSTOP");
    const ask = async () => {
      a.send({ type: "mint" });
      return a.next();
    };
    const refused = await ask();
    expect(refused).toMatchObject({ type: "error", code: "store_unreachable" });
    expect(refused["retryAfterMs"]).toBeGreaterThan(0);
    redis.signal("SIGCONT");
    await until("the store to be back", async () => (await ask()).type === "minted");
  });

  test("leaves the log lines of any other, and nothing secret in them", async () => {
    await using server = await testServer({ LOG_LEVEL: "trace", ROOM_TTL: "10m" });
    await using a = await open(server);
    a.send({ type: "mint", sid: "sid-of-ann" });
    const { code, appID } = await a.next();
    await a.nextOf("welcome");
    await using b = await open(server);
    b.send({ type: "redeem", code: "90817263", sid: "sid-of-bob" });
    b.send({ type: "join", appID, side: "sid-of-bob", sid: 1 });
    b.send({ type: "redeem", code, sid: "sid-of-bob" });
    await b.nextOf("welcome");
    await using c = await open(server);
    c.send({ type: "join", appID, side: "A", sid: "sid-of-ann" });
    await c.nextOf("welcome");
    await c.close();
    const lines = () => server.logLines.map((line) => JSON.parse(line) as Record<string, unknown>);
    await until("its end", () => lines().filter(({ msg }) => msg === "leave").length === 2);
    const count = (name: string) => lines().filter(({ msg }) => msg === name).length;
    expect(["minted", "redeemed", "join", "paired"].map(count)).toEqual([1, 1, 3, 2]);
    const rooms = lines().flatMap(({ msg, room }) => (msg === "frame" || !room ? [] : [room]));
    expect(new Set(rooms).size).toBe(1);
    const outcomes = lines().flatMap(({ msg, type, outcome }) =>
      msg === "frame" ? [`${type} ${outcome}`] : [],
    );
    expect(outcomes).toEqual([
      ...["mint handled", "redeem ignored", "join ignored", "redeem handled", "join handled"],
    ]);
    const log = server.logLines.join("\n");
    for (const secret of [code, appID, "sid-of-ann", "sid-of-bob", "90817263"]) {
      expect(log).not.toContain(String(secret));
    }
  });
});

test("who was welcomed before its code was redeemed gets TURN as the other side comes", async () => {
  await using server = await testServer({
    TURN_URLS: "turn:turn.test",
    TURN_SECRET: "s".repeat(16),
  });
  await using a = await open(server);
  a.send({ type: "mint" });
  const { code } = await a.next();
  expect((await a.nextOf("welcome"))["iceServers"]).toBeUndefined();
  await using b = await open(server);
  b.send({ type: "redeem", code });
  expect((await b.nextOf("welcome"))["iceServers"]).toMatchObject([{ urls: ["turn:turn.test"] }]);
  expect((await a.nextOf("peer_joined"))["iceServers"]).toMatchObject([
    { urls: ["turn:turn.test"] },
  ]);
  expect(await b.nextOf("peer_joined")).toEqual({ type: "peer_joined" });
});
