import { expect, test } from "bun:test";
import { openPair, TestClient } from "../support/client.ts";
import { testServer } from "../support/server.ts";

const uuid4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

test("a code brings two peers together, once", async () => {
  await using server = await testServer();
  const minted = await server.mint();
  expect(minted.code).toMatch(/^[0-9]{4}$/);
  expect(minted.appID).toMatch(uuid4);

  const redeemed = await server.redeem(minted.code);
  expect(redeemed.status).toBe(200);
  expect(await redeemed.json()).toEqual({ appID: minted.appID, expiresAt: minted.expiresAt });
  const again = await server.redeem(minted.code);
  expect(again.status).toBe(410);
  expect(again.headers.get("content-type")).toBe("application/problem+json");
  expect(await again.json()).toMatchObject({ status: 410, code: "code_gone" });

  await using a = await TestClient.open(server.ws, minted.appID, "A");
  await using b = await TestClient.open(server.ws, minted.appID, "B");
  for (const peer of [a, b]) expect(await peer.nextText()).toBe('{"type":"room_full"}');

  a.send({ type: "sender_ready" });
  a.send({ type: "offer", sdp: "v=0 a" });
  expect(await b.nextText()).toBe('{"type":"sender_ready"}');
  expect(await b.nextText()).toBe('{"type":"offer","sdp":"v=0 a"}');
  b.send({ type: "answer", sdp: { type: "answer", sdp: "v=0 b" } });
  expect(await a.next()).toEqual({ type: "answer", sdp: { type: "answer", sdp: "v=0 b" } });
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.send({ type: "ice", candidate: null });
    expect(await to.nextText()).toBe('{"type":"ice","candidate":null}');
  }
});

test("a peer that waits alone hears nothing until the other one comes", async () => {
  await using server = await testServer();
  const appId = crypto.randomUUID();
  await using a = await TestClient.open(server.ws, appId, "A");
  a.send({ type: "hello", side: "A" });
  expect(await a.settled()).toEqual([]);
  await using b = await TestClient.open(server.ws, appId, "B");
  expect(await a.next()).toEqual({ type: "room_full" });
  expect(await b.next()).toEqual({ type: "room_full" });
});

test("a peer that comes back fills the room again, for both", async () => {
  await using server = await testServer();
  await using pair = await openPair(server);
  await pair.b.close();
  expect(await pair.a.settled()).toEqual([]);
  await using b = await TestClient.open(server.ws, pair.appId, "B");
  expect(await pair.a.next()).toEqual({ type: "room_full" });
  expect(await b.next()).toEqual({ type: "room_full" });
});

test("a room needs no code: peers may meet under a UUID of their own", async () => {
  await using server = await testServer();
  await using pair = await openPair(server, { appId: "00000000-0000-0000-0000-000000000000" });
  pair.a.send({ type: "offer" });
  expect(await pair.b.nextText()).toBe('{"type":"offer"}');
});

const appId = "6ba7b810-9dad-41d1-80b4-00c04fd430c8";
test.each([
  ["upper case", appId.toUpperCase()],
  ["braces", `{${appId}}`],
  ["a URN in capitals", `URN:UUID:${appId.toUpperCase()}`],
  ["no hyphens", appId.replaceAll("-", "")],
])("an appID with %s names the same room", async (_, form) => {
  await using server = await testServer();
  await using a = await TestClient.open(server.ws, appId, "A");
  await using b = await TestClient.open(server.ws, encodeURIComponent(form), "B");
  expect(await a.next()).toEqual({ type: "room_full" });
  expect(await b.next()).toEqual({ type: "room_full" });
});

test("a side may be written in lower case", async () => {
  await using server = await testServer();
  const room = crypto.randomUUID();
  await using a = await TestClient.open(server.ws, room, "a");
  await using b = await TestClient.open(server.ws, room, "b");
  expect(await a.next()).toEqual({ type: "room_full" });
  b.send({ type: "offer" });
  expect(await a.next()).toEqual({ type: "offer" });
});

test("rooms don't hear of each other", async () => {
  await using server = await testServer();
  await using one = await openPair(server);
  await using two = await openPair(server);
  one.a.send({ type: "offer", of: "one" });
  two.b.send({ type: "answer", of: "two" });
  expect(await one.b.next()).toEqual({ type: "offer", of: "one" });
  expect(await two.a.next()).toEqual({ type: "answer", of: "two" });
  for (const peer of [one.a, one.b, two.a, two.b]) expect(await peer.settled()).toEqual([]);
});
