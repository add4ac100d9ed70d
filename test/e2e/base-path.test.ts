import { expect, test } from "bun:test";
import { mint, redeem, SignalingClient } from "../../src/client/client.ts";
import { openPair } from "../support/client.ts";
import { upgradeRequest } from "../support/raw-client.ts";
import { rawRequest } from "../support/raw-http.ts";
import { type TestServer, testServer } from "../support/server.ts";
import { within } from "../support/waiting.ts";

const base = { BASE_PATH: "/signal" };
const target = `/ws?appID=${crypto.randomUUID()}&side=A`;

async function statusOf(server: TestServer, method: string, path: string): Promise<number> {
  const headers = { "content-type": "application/json" };
  const body = method === "POST" ? '{"code":"0000"}' : null;
  return (await fetch(server.http + path, { method, headers, body })).status;
}

test("below its base path the server does all it does", async () => {
  await using server = await testServer(base);
  const url = `${server.http}/signal`;
  const { code, appID } = await mint(url);
  expect(await redeem(url, code)).toMatchObject({ appID });
  await using pair = await openPair({ ws: `${server.ws}/signal` }, { appId: appID });
  pair.a.send('{"type":"offer"}');
  expect(await pair.b.nextText()).toBe('{"type":"offer"}');
  for (const path of ["/signal", "/signal/", "/signal/openapi.json", "/signal/rendezvous/whoami"]) {
    expect([path, await statusOf(server, "GET", path)]).toEqual([path, 200]);
  }
  const page = await (await fetch(`${url}/`)).text();
  expect(page).toContain("<html");
});

test("the client needs no more than the URL with the base path", async () => {
  await using server = await testServer(base);
  const url = `${server.http}/signal/`;
  const { appID: appId } = await mint(url);
  const welcomed = Promise.withResolvers<void>();
  const client = new SignalingClient({
    url,
    appId,
    side: "A",
    on: { welcome: () => welcomed.resolve() },
  });
  await within("the welcome", welcomed.promise);
  client.close();
});

test("what tools ask for stands beside the base path, and only there", async () => {
  await using server = await testServer({ ...base, METRICS_ROUTE: "/internal/metrics" });
  for (const path of ["/healthz", "/readyz", "/internal/metrics"]) {
    expect([path, await statusOf(server, "GET", path)]).toEqual([path, 200]);
    const below = `/signal${path}`;
    expect([below, await statusOf(server, "GET", below)]).toEqual([below, 404]);
    expect([path, await statusOf(server, "POST", path)]).toEqual([path, 405]);
  }
});

test("METRICS_ROUTE may lie below the base path when it says so itself", async () => {
  await using server = await testServer({ ...base, METRICS_ROUTE: "/signal/metrics" });
  expect(await statusOf(server, "GET", "/signal/metrics")).toBe(200);
  for (const path of ["/metrics", "/signal/signal/metrics"]) {
    expect([path, await statusOf(server, "GET", path)]).toEqual([path, 404]);
  }
});

test("without the prefix, with half of it or twice it there is nothing", async () => {
  await using server = await testServer(base);
  for (const [method, path] of [
    ["GET", "/"],
    ["GET", "/openapi.json"],
    ["GET", "/rendezvous/whoami"],
    ["POST", "/rendezvous/code"],
    ["POST", "/rendezvous/redeem"],
    ["POST", "/signalrendezvous/code"],
    ["POST", "/sig/rendezvous/code"],
    ["POST", "/signal/signal/rendezvous/code"],
    ["POST", "/SIGNAL/rendezvous/code"],
    ["OPTIONS", "/rendezvous/code"],
  ] as const) {
    expect([method, path, await statusOf(server, method, path)]).toEqual([method, path, 404]);
  }
  for (const path of [
    target,
    `/signal${target.replace("/ws", "/wss")}`,
    `/signal/signal${target}`,
  ]) {
    const answer = await rawRequest(server.http, upgradeRequest(path));
    expect([path, answer.status]).toEqual([path, 404]);
  }
  for (const path of [`/signal${target}`, `/signal${target.replace("/ws", "/ws/")}`]) {
    expect((await rawRequest(server.http, upgradeRequest(path))).status).toBe(101);
  }
  expect(await server.metric("nt_codes_minted_total")).toBe(0);
});

test("CORS, OPTIONS and 405 hold below the base path", async () => {
  const origin = "https://app.example";
  await using server = await testServer({ ...base, CORS_ORIGINS: origin });
  const url = `${server.http}/signal/rendezvous/code`;
  const asked = { origin, "access-control-request-method": "POST" };
  const preflight = await fetch(url, { method: "OPTIONS", headers: asked });
  expect(preflight.status).toBe(204);
  expect(preflight.headers.get("access-control-allow-origin")).toBe(origin);
  expect(preflight.headers.get("access-control-allow-methods")).toBe("POST, OPTIONS");

  const allowed = await fetch(url, { method: "POST", headers: { origin } });
  expect(allowed.status).toBe(200);
  expect(allowed.headers.get("access-control-allow-origin")).toBe(origin);
  const foreign = { origin: "https://evil.example" };
  const refused = await fetch(url, { method: "POST", headers: foreign });
  expect(refused.status).toBe(403);
  const upgrade = await rawRequest(server.http, upgradeRequest(`/signal${target}`, foreign));
  expect(upgrade.status).toBe(403);

  const wrong = await fetch(url, { method: "GET", headers: { origin } });
  expect(wrong.status).toBe(405);
  expect(wrong.headers.get("allow")).toBe("POST, OPTIONS");
  const onSocket = await fetch(`${server.http}/signal${target}`, { method: "POST" });
  expect(onSocket.status).toBe(405);
  const unknown = await fetch(`${server.http}/rendezvous/code`, { headers: { origin } });
  expect(unknown.status).toBe(404);
  expect(unknown.headers.get("access-control-allow-origin")).toBe(origin);
});
