import { expect, test } from "bun:test";
import { openPair, TestClient } from "../support/client.ts";
import { RawClient, upgradeRequest } from "../support/raw-client.ts";
import { rawRequest } from "../support/raw-http.ts";
import { type TestServer, testServer } from "../support/server.ts";

const token = "s3cret-token_of.some~length";

function scrape(server: TestServer, authorization?: string, method = "GET"): Promise<Response> {
  const headers = authorization === undefined ? {} : { authorization };
  return fetch(`${server.http}/metrics`, { method, headers });
}

test("METRICS_TOKEN shows the metrics to whoever bears it", async () => {
  await using server = await testServer({ METRICS_TOKEN: token });
  for (const shown of [`Bearer ${token}`, `bearer ${token}`, `BEARER  ${token}`]) {
    const answer = await scrape(server, shown);
    expect([shown, answer.status]).toEqual([shown, 200]);
    expect(await answer.text()).toContain("nt_build_info");
  }
  expect((await scrape(server, `Bearer ${token}`, "HEAD")).status).toBe(200);
});

test("METRICS_TOKEN hides the metrics from all others, and does not tell what it is", async () => {
  await using server = await testServer({ METRICS_TOKEN: token });
  for (const shown of [
    undefined,
    "",
    "Bearer",
    "Bearer ",
    token,
    `Basic ${token}`,
    `Bearer${token}`,
    `Bearer ${token}x`,
    `Bearer x${token}`,
    `Bearer ${token.slice(0, -1)}`,
    `Bearer ${token.toUpperCase()}`,
    `Bearer ${token}, Bearer ${token}`,
  ]) {
    const answer = await scrape(server, shown);
    expect([shown, answer.status]).toEqual([shown, 401]);
    expect(answer.headers.get("www-authenticate")).toBe("Bearer");
    expect(answer.headers.get("content-type")).toBe("application/problem+json");
    const body = await answer.text();
    expect(JSON.parse(body)).toMatchObject({ status: 401, code: "unauthorized" });
    expect(body).not.toContain(token);
    expect(body).not.toContain("nt_");
  }
  const inQuery = await fetch(`${server.http}/metrics?token=${token}`);
  expect(inQuery.status).toBe(401);
  expect((await scrape(server, undefined, "HEAD")).status).toBe(401);
});

test("the token is asked for nowhere else, and nowhere at all when there is none", async () => {
  await using server = await testServer({ METRICS_TOKEN: token });
  for (const path of ["/healthz", "/readyz", "/"]) {
    expect((await fetch(server.http + path)).status).toBe(200);
  }
  await server.mint();
  await using open = await testServer();
  expect((await scrape(open)).status).toBe(200);
  expect((await scrape(open, "Bearer whatever")).status).toBe(200);
});

/** Names and labels of the server's own series, without their values. */
async function series(server: TestServer): Promise<readonly string[]> {
  const text = await (await scrape(server)).text();
  const lines = text.split("\n").filter((line) => line.startsWith("nt_"));
  return lines.map((line) => line.slice(0, line.lastIndexOf(" "))).toSorted();
}

test("nt_build_info tells what runs", async () => {
  await using server = await testServer();
  const [info = "", ...others] = (await series(server)).filter((one) => /^nt_build_info/.test(one));
  expect(others).toEqual([]);
  const labels = Object.fromEntries(
    Array.from(info.matchAll(/(\w+)="([^"]*)"/g), ([, name, value]) => [name, value]),
  );
  const { version } = (await import("../../package.json")).default;
  expect(labels).toEqual({ version, bun: Bun.version, engine: "memory" });
  expect(await server.metric(info)).toBe(1);
});

test("nothing that clients say makes a series, however hostile", async () => {
  await using server = await testServer({ HTTP_RATE_PER_MIN: "1000" });
  const before = await series(server);
  expect(before.length).toBeGreaterThan(50);
  expect(new Set(before).size).toBe(before.length);

  const hostile = [
    'x"} 1\nnt_evil{a="',
    "__proto__",
    "constructor",
    "toString",
    "OFFER",
    "\u0000",
    "\u{1f4a3}",
    "x".repeat(2_000),
    ...Array.from({ length: 40 }, () => crypto.randomUUID()),
  ];
  await using pair = await openPair(server, { a: { v2: true }, b: { sid: hostile[4] as string } });
  for (const word of hostile) {
    for (const frame of [
      { type: word },
      { type: "telemetry", event: word },
      { type: "telemetry", event: "ice-connected", mode: word },
      { type: "telemetry", event: "ice-failed", reason: word, mode: word },
      { type: "telemetry", event: "ice-failed", reason: [word] },
      { type: "send", to: word, payload: word, id: word },
      { type: "hello", deliveredUpTo: word, sessionId: word },
      { [word]: word },
    ]) {
      pair.a.send(frame);
      pair.b.send(frame);
    }
  }
  for (const peer of [pair.a, pair.b]) await peer.settled();

  for (const word of hostile.slice(0, 12)) {
    const named = encodeURIComponent(word);
    const headers = { origin: `https://${named.slice(0, 40)}.example`, "user-agent": named };
    await fetch(`${server.http}/${named}`, { headers });
    await fetch(`${server.http}/rendezvous/redeem`, { method: "POST", headers, body: word });
    await rawRequest(server.http, { method: "PATCH", target: "/rendezvous/code", headers });
    const target = `/ws?appID=${named}&side=${named}&sid=${named}`;
    await rawRequest(server.http, upgradeRequest(target, headers));
    const real = `/ws?appID=${crypto.randomUUID()}&side=A&sid=${named.slice(0, 90)}`;
    await using peer =
      (await TestClient.connect(server.ws + real, {
        protocols: [`p-${hostile.indexOf(word)}`],
      }).catch(() => undefined)) ?? (await TestClient.connect(server.ws + real));
    await peer.close();
  }
  await using garbled = await RawClient.open(server.ws);
  garbled.sendRaw(Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]));
  await garbled.ended;

  expect(await series(server)).toEqual(before);
});
