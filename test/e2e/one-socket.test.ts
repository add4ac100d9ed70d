import { describe, expect, test } from "bun:test";
import { TestClient } from "../support/client.ts";
import { fakeClock } from "../support/clock.ts";
import { testServer } from "../support/server.ts";

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
