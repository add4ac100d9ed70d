import { expect, test } from "bun:test";
import { openPair } from "../support/client.ts";
import { nginxMissing, startNginx } from "../support/nginx.ts";
import { RawClient } from "../support/raw-client.ts";
import { rawRequest } from "../support/raw-http.ts";
import { testServer } from "../support/server.ts";

// What is tried is the example that we ship, deploy/nginx.conf, as its readers would use it.
const behindNginx = test.skipIf(nginxMissing);

/** Nginx asks from 127.0.0.1, which alone is trusted; clients of another address are told apart. */
const trusting = { TRUST_PROXY: "127.0.0.1" };
const client = "127.0.0.9";

behindNginx("a pair meets over TLS that ends in nginx, and frames cross unchanged", async () => {
  await using server = await testServer(trusting);
  await using nginx = await startNginx(server.port);
  await using pair = await openPair({ ws: nginx.wss });
  const offer = `{"type":"offer",  "sdp":"${"v".repeat(100_000)}"}`;
  pair.a.send(offer);
  expect(await pair.b.nextText()).toBe(offer);
});

behindNginx("the server knows the client behind nginx, whatever that claims to be", async () => {
  await using server = await testServer(trusting);
  await using nginx = await startNginx(server.port);
  const whoami = async (headers: Record<string, string>) => {
    const request = { target: "/rendezvous/whoami", localAddress: client, headers };
    return JSON.parse((await rawRequest(nginx.https, request)).body);
  };
  const known = { address: client, header: "X-Forwarded-For", shared: false };
  expect(await whoami({})).toMatchObject(known);
  expect(await whoami({ "X-Forwarded-For": "203.0.113.9" })).toMatchObject(known);
});

behindNginx("limits of one client behind nginx do not meet another", async () => {
  await using server = await testServer({ ...trusting, HTTP_RATE_PER_MIN: "1" });
  await using nginx = await startNginx(server.port);
  const mint = async (localAddress: string) => {
    const request = { method: "POST", target: "/rendezvous/code", localAddress };
    return (await rawRequest(nginx.https, request)).status;
  };
  expect([await mint(client), await mint(client), await mint("127.0.0.8")]).toEqual([
    200, 429, 200,
  ]);
});

behindNginx("a page of the server's own origin may use it through nginx", async () => {
  await using server = await testServer({ ...trusting, DEV: "false" });
  await using nginx = await startNginx(server.port);
  const own = await RawClient.open(nginx.wss, { headers: { Origin: nginx.https } });
  await own[Symbol.asyncDispose]();
  const foreign = RawClient.open(nginx.wss, { headers: { Origin: "https://elsewhere.example" } });
  await expect(foreign).rejects.toThrow("refused with 403");
});

behindNginx("a client of http is sent to https, by the method that it used", async () => {
  await using server = await testServer(trusting);
  await using nginx = await startNginx(server.port);
  const request = { method: "POST", target: "/rendezvous/code?x=1" };
  const { status, headers } = await rawRequest(nginx.http, request);
  expect([status, headers.get("location")]).toEqual([308, "https://127.0.0.1/rendezvous/code?x=1"]);
});

behindNginx("the metrics are not for everybody", async () => {
  await using server = await testServer(trusting);
  await using nginx = await startNginx(server.port);
  expect((await rawRequest(nginx.https, { target: "/metrics" })).status).toBe(404);
  // The runtime resolves these after nginx has looked.
  for (const target of ["/.\\metrics", "/a\\..\\metrics"]) {
    expect([target, (await rawRequest(nginx.https, { target })).status]).toEqual([target, 401]);
  }
  expect((await rawRequest(nginx.https, { target: "/healthz" })).status).toBe(200);
});

behindNginx("the server's pings keep an idle connection past nginx's read timeout", async () => {
  const patience = { "proxy_read_timeout 60s": "proxy_read_timeout 1s" };
  await using pinging = await testServer({ ...trusting, HEARTBEAT: "500ms" });
  await using ahead = await startNginx(pinging.port, patience);
  await using kept = await RawClient.open(ahead.wss);
  await kept.pinged(6);
  await kept.settled();

  // Without pings it is cut: it was they that kept the other.
  await using silent = await testServer({ ...trusting, HEARTBEAT: "10m" });
  await using before = await startNginx(silent.port, patience);
  await using cut = await RawClient.open(before.wss);
  expect(await cut.ended).toEqual({ code: undefined, reason: "" });
});

const below = { "location / {": "location /signal/ {" };

behindNginx("below a path that nginx passes on, BASE_PATH is that path", async () => {
  await using server = await testServer({ ...trusting, BASE_PATH: "/signal" });
  await using nginx = await startNginx(server.port, below);
  await meetBelow(nginx, "/signal");
});

behindNginx("below a path that nginx takes off, BASE_PATH stays empty", async () => {
  await using server = await testServer(trusting);
  const off = { "proxy_pass http://nt_signal;": "proxy_pass http://nt_signal/;" };
  await using nginx = await startNginx(server.port, { ...below, ...off });
  await meetBelow(nginx, "/signal");
});

async function meetBelow(nginx: { https: string; wss: string }, path: string): Promise<void> {
  const mint = { method: "POST", target: `${path}/rendezvous/code` };
  expect((await rawRequest(nginx.https, mint)).status).toBe(200);
  await using pair = await openPair({ ws: `${nginx.wss}${path}` });
  pair.b.send('{"type":"answer"}');
  expect(await pair.a.nextText()).toBe('{"type":"answer"}');
}
