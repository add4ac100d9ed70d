import { expect, test } from "bun:test";
import { openPair, TestClient } from "../support/client.ts";
import { upgradeRequest } from "../support/raw-client.ts";
import { exchange, type RawAnswer, type RawRequest, rawRequest } from "../support/raw-http.ts";
import { testServer } from "../support/server.ts";

const good = `/ws?appID=${crypto.randomUUID()}&side=A`;

async function refusal(env: Record<string, string>, request: RawRequest): Promise<RawAnswer> {
  await using server = await testServer(env);
  const answer = await rawRequest(server.http, request);
  expect(await server.metric("nt_ws_connections_total")).toBe(0);
  return answer;
}

test.each([
  ["no appID", "/ws?side=A", "appID"],
  ["an appID that is no UUID", "/ws?appID=room-1&side=A", "appID"],
  ["an appID cut short", `${good.slice(0, 40)}&side=A`, "appID"],
  ["no side", good.replace("&side=A", ""), "side"],
  ["side C", good.replace("side=A", "side=C"), "side"],
  ["an empty side", good.replace("side=A", "side="), "side"],
  ["no query", "/ws", "appID"],
  ["an endless sid", `${good}&sid=${"x".repeat(257)}`, "sid"],
  ["a sid that is not UTF-8", `${good}&sid=%ff`, "sid"],
  ["a sid with half of a surrogate pair", `${good}&sid=x%ed%a0%80`, "sid"],
  ["a sid cut off amid a character", `${good}&sid=%e2%82`, "sid"],
])("an upgrade with %s is refused with 400 and the reason", async (_, target, named) => {
  const { status, headers, body } = await refusal({}, upgradeRequest(target));
  expect(status).toBe(400);
  expect(headers.get("content-type")).toBe("application/problem+json");
  const problem: unknown = JSON.parse(body);
  expect(problem).toEqual({
    status: 400,
    title: "Bad Request",
    code: "malformed",
    detail: expect.stringContaining(named),
  });
});

test("a handshake with a key that is none is refused with 400", async () => {
  const request = upgradeRequest(good, { "Sec-WebSocket-Key": "short" });
  const { status, body } = await refusal({}, request);
  expect(status).toBe(400);
  expect(JSON.parse(body)).toMatchObject({ code: "malformed" });
});

test("the other side hears nothing of a handshake that is refused", async () => {
  await using server = await testServer({ SOCKETS_PER_CLIENT: "2" });
  const appId = crypto.randomUUID();
  await using b = await TestClient.open(server.ws, appId, "B", { v2: true });
  await b.nextOf("welcome");
  for (const bad of [{ "Sec-WebSocket-Key": "short" }, { "Sec-WebSocket-Version": "8" }]) {
    const { status } = await rawRequest(
      server.http,
      upgradeRequest(`/ws?appID=${appId}&side=A`, bad),
    );
    expect(status).toBeGreaterThanOrEqual(400);
  }
  expect(await b.settled()).toEqual([]);
  // Nor is one counted as a socket.
  await using _a = await TestClient.open(server.ws, appId, "A");
  await b.nextOf("peer_joined");
});

test("a handshake of another protocol version is told with 426 which one is spoken", async () => {
  const request = upgradeRequest(good, { "Sec-WebSocket-Version": "8" });
  const { status, headers } = await refusal({}, request);
  expect(status).toBe(426);
  expect(headers.get("sec-websocket-version")).toBe("13");
});

test("a page of an origin that is not listed is refused with 403, a listed one is not", async () => {
  const listed = { CORS_ORIGINS: "https://app.example" };
  const request = upgradeRequest(good, { Origin: "https://evil.example" });
  const { status, headers, body } = await refusal(listed, request);
  expect(status).toBe(403);
  expect(headers.get("content-type")).toBe("application/problem+json");
  expect(JSON.parse(body)).toMatchObject({ status: 403, code: "origin_refused" });

  await using server = await testServer(listed);
  for (const origin of ["https://app.example", server.http, undefined]) {
    const own = upgradeRequest(good, origin === undefined ? {} : { Origin: origin });
    const answer = await exchange(server.http, own);
    answer.socket.destroy();
    expect(answer.status).toBe(101);
  }
});

test("a request that asks for no upgrade is told with 426 to ask for one", async () => {
  const { status, headers, body } = await refusal({}, { target: good });
  expect(status).toBe(426);
  expect(headers.get("upgrade")).toBe("websocket");
  expect(headers.get("content-type")).toBe("application/problem+json");
  expect(JSON.parse(body)).toMatchObject({ status: 426, code: "upgrade_required" });
});

test("no method but GET opens a socket", async () => {
  const { status, headers } = await refusal({}, { ...upgradeRequest(good), method: "POST" });
  expect(status).toBe(405);
  expect(headers.get("allow")).toContain("GET");
});

test("past MAX_ROOMS an upgrade to a new room is refused with 503 and when to come back, a known one is not", async () => {
  await using server = await testServer({ MAX_ROOMS: "2" });
  await using first = await openPair(server);
  const { status, headers, body } = await rawRequest(server.http, upgradeRequest(good));
  expect(status).toBe(503);
  expect(Number(headers.get("retry-after"))).toBeGreaterThan(0);
  expect(JSON.parse(body)).toMatchObject({ status: 503, code: "rooms_full" });

  // A room whose code was minted here is let in up to the end.
  const { appID } = await server.mint();
  await using minted = await TestClient.open(server.ws, appID, "A");
  expect(await minted.settled()).toEqual([]);
  await first.a.close();
  await using back = await TestClient.open(server.ws, first.appId, "A");
  expect(await back.next()).toEqual({ type: "room_full" });
  expect(await server.metric('nt_refusals_total{reason="rooms_full"}')).toBe(1);
});

test("/ws/ is the same door", async () => {
  await using server = await testServer();
  const appId = crypto.randomUUID();
  await using a = await TestClient.connect(`${server.ws}/ws/?appID=${appId}&side=A`);
  await using b = await TestClient.connect(`${server.ws}/ws?side=B&appID=${appId}`);
  expect(await a.next()).toEqual({ type: "room_full" });
  expect(await b.next()).toEqual({ type: "room_full" });
});

test.each([
  ["nt.v2 is echoed when it is offered", "nt.v2", "nt.v2"],
  ["nt.v2 is echoed from among others", "chat, nt.v2,soap", "nt.v2"],
  ["no subprotocol is echoed that is not known here", "chat, soap", null],
  ["nt.v2 in capitals is another name", "NT.V2", null],
  ["no subprotocol is named to who offers none", undefined, null],
])("%s", async (_, offered, echoed) => {
  await using server = await testServer();
  const headers = offered === undefined ? {} : { "Sec-WebSocket-Protocol": offered };
  const answer = await exchange(server.http, upgradeRequest(good, headers));
  answer.socket.destroy();
  expect(answer.status).toBe(101);
  expect(answer.headers.get("sec-websocket-protocol")).toBe(echoed);
});
