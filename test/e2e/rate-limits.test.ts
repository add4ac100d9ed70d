import { expect, test } from "bun:test";
import { fakeClock } from "../support/clock.ts";
import { RawClient, upgradeRequest } from "../support/raw-client.ts";
import { rawRequest } from "../support/raw-http.ts";
import { type TestServer, testServer } from "../support/server.ts";

// On Linux all of 127.0.0.0/8 is this machine: each address is a client of its own.
const [one, two] = ["127.0.0.1", "127.0.0.2"];

function mint(server: TestServer, localAddress: string, headers: Record<string, string> = {}) {
  return rawRequest(server.http, {
    method: "POST",
    target: "/rendezvous/code",
    localAddress,
    headers,
  });
}

function upgrade(server: TestServer, localAddress: string) {
  const target = `/ws?appID=${crypto.randomUUID()}&side=A`;
  return rawRequest(server.http, { ...upgradeRequest(target), localAddress });
}

test("HTTP_RATE_PER_MIN holds for each address by itself", async () => {
  const clock = fakeClock();
  await using server = await testServer({ HTTP_RATE_PER_MIN: "2" }, { clock });
  for (const address of [one, one, two]) expect((await mint(server, address)).status).toBe(200);
  clock.advance(20_000);

  const refused = await mint(server, one);
  expect(refused.status).toBe(429);
  expect(refused.headers.get("retry-after")).toBe("40");
  expect(refused.headers.get("content-type")).toBe("application/problem+json");
  expect(JSON.parse(refused.body)).toMatchObject({ status: 429, code: "rate_limited" });
  expect((await mint(server, two)).status).toBe(200);
  expect((await mint(server, two)).status).toBe(429);
});

test.each([0, 500])(
  "who waits as long as Retry-After says is let in again, %p ms late",
  async (lateMs) => {
    const clock = fakeClock();
    await using server = await testServer({ HTTP_RATE_PER_MIN: "1" }, { clock });
    await mint(server, one);
    clock.advance(lateMs);
    const refused = await mint(server, one);
    const waitMs = Number(refused.headers.get("retry-after")) * 1_000;
    clock.advance(waitMs - lateMs - 1);
    expect((await mint(server, one)).status).toBe(429);
    clock.advance(lateMs + 1);
    expect((await mint(server, one)).status).toBe(200);
  },
);

test("answers say how much of the rate is left, and when it begins anew", async () => {
  const clock = fakeClock();
  await using server = await testServer({ HTTP_RATE_PER_MIN: "2" }, { clock });
  const told = async () => {
    const { status, headers } = await mint(server, one);
    return [status, headers.get("ratelimit-policy"), headers.get("ratelimit")];
  };
  expect(await told()).toEqual([200, '"minute";q=2;w=60', '"minute";r=1;t=60']);
  clock.advance(45_500);
  expect(await told()).toEqual([200, '"minute";q=2;w=60', '"minute";r=0;t=15']);
  expect(await told()).toEqual([429, '"minute";q=2;w=60', '"minute";r=0;t=15']);
});

test("whatever is asked for counts, by any method, but for the health of the server", async () => {
  const clock = fakeClock();
  await using server = await testServer({ HTTP_RATE_PER_MIN: "2" }, { clock });
  const { code } = await server.mint();
  expect((await server.redeem(code)).status).toBe(200);
  expect((await server.redeem(code)).status).toBe(429);
  for (const target of ["/metrics", "/", "/nowhere", "/openapi.json", "/rendezvous/whoami"]) {
    for (const method of ["GET", "HEAD", "OPTIONS", "POST"]) {
      const { status } = await rawRequest(server.http, { method, target });
      expect([method, target, status]).toEqual([method, target, 429]);
    }
  }
  for (const path of ["/healthz", "/readyz"]) {
    for (let i = 0; i < 4; i++) expect((await fetch(server.http + path)).status).toBe(200);
  }
  clock.advance(60_000);
  expect(await server.metric('nt_refusals_total{reason="rate_limited"}')).toBe(21);
});

test("requests of a refused origin count, and a page of an allowed one may read its refusal", async () => {
  const env = { HTTP_RATE_PER_MIN: "2", CORS_ORIGINS: "https://app.example.com" };
  await using server = await testServer(env, { clock: fakeClock() });
  const from = (origin: string) => fetch(`${server.http}/nowhere`, { headers: { origin } });
  for (let i = 0; i < 2; i++) expect((await from("https://evil.example")).status).toBe(403);
  const refused = await from("https://app.example.com");
  expect(refused.status).toBe(429);
  expect(refused.headers.get("access-control-allow-origin")).toBe("https://app.example.com");
});

test("20 customers of one site have 16 times one client's rate together, HTTP and upgrades", async () => {
  const env = { HTTP_RATE_PER_MIN: "1", WS_RATE_PER_MIN: "1" };
  await using server = await testServer(env, { clock: fakeClock() });
  const behind = (i: number) => ({ "X-Forwarded-For": `2001:db8:1:${(i << 8).toString(16)}::1` });
  const statuses = { http: [] as number[], ws: [] as number[] };
  for (let i = 0; i < 20; i++) {
    statuses.http.push((await mint(server, one, behind(i))).status);
    const target = `/ws?appID=${crypto.randomUUID()}&side=A`;
    statuses.ws.push((await rawRequest(server.http, upgradeRequest(target, behind(i)))).status);
  }
  const refused = (status: number) => [...Array(16).fill(status), ...Array(4).fill(429)];
  expect(statuses).toEqual({ http: refused(200), ws: refused(101) });
});

test("everybody behind an unknown proxy has 16 times one client's rate together", async () => {
  const env = { HTTP_RATE_PER_MIN: "1", TRUST_PROXY: "127.0.0.9" };
  await using server = await testServer(env, { clock: fakeClock() });
  const through = (i: number) => ({ "X-Forwarded-For": `203.0.113.${i}` });
  const first = await mint(server, one, through(0));
  expect(first.headers.get("ratelimit-policy")).toBe('"minute";q=16;w=60');
  for (let i = 1; i < 16; i++) expect((await mint(server, one, through(i))).status).toBe(200);
  expect((await mint(server, one, through(16))).status).toBe(429);
});

test("a client's own limit comes first, and what it is refused costs its site nothing", async () => {
  await using server = await testServer({ HTTP_RATE_PER_MIN: "2" }, { clock: fakeClock() });
  const of = (i: number) => ({ "X-Forwarded-For": `2001:db8:1:${(i << 8).toString(16)}::1` });
  for (let i = 0; i < 40; i++) {
    expect((await mint(server, one, of(0))).status).toBe(i < 2 ? 200 : 429);
  }
  for (let i = 1; i < 16; i++) expect((await mint(server, one, of(i))).status).toBe(200);
});

test("upgrades count whatever they are refused for", async () => {
  await using server = await testServer({ WS_RATE_PER_MIN: "3" }, { clock: fakeClock() });
  const bad = upgradeRequest("/ws?appID=nonsense&side=A");
  for (const status of [400, 400, 400, 429]) {
    expect((await rawRequest(server.http, bad)).status).toBe(status);
  }
  expect(await server.metric('nt_limiter_keys{limiter="ws"}')).toBe(1);
});

test("a page of an allowed origin may read why its upgrade is refused, also for its rate", async () => {
  const env = { WS_RATE_PER_MIN: "1", CORS_ORIGINS: "https://app.example.com" };
  await using server = await testServer(env, { clock: fakeClock() });
  for (const status of [426, 429]) {
    const headers = { origin: "https://app.example.com" };
    const refused = await fetch(`${server.http}/ws`, { headers });
    expect(refused.status).toBe(status);
    expect(refused.headers.get("access-control-allow-origin")).toBe("https://app.example.com");
    expect(refused.headers.get("ratelimit")).toBe('"minute";r=0;t=60');
  }
});

test("a forwarded address changes nothing where no proxy is trusted: anyone can write one", async () => {
  const env = { HTTP_RATE_PER_MIN: "1", TRUST_PROXY: "none" };
  await using server = await testServer(env, { clock: fakeClock() });
  expect((await mint(server, one)).status).toBe(200);
  const forged = { "X-Forwarded-For": "203.0.113.9", Forwarded: "for=203.0.113.9" };
  expect((await mint(server, one, forged)).status).toBe(429);
});

test("WS_RATE_PER_MIN holds for each address by itself, and apart from HTTP", async () => {
  const clock = fakeClock();
  await using server = await testServer(
    { WS_RATE_PER_MIN: "2", HTTP_RATE_PER_MIN: "1" },
    { clock },
  );
  expect((await mint(server, one)).status).toBe(200);
  for (const address of [one, one, two]) expect((await upgrade(server, address)).status).toBe(101);

  const refused = await upgrade(server, one);
  expect(refused.status).toBe(429);
  expect(refused.headers.get("retry-after")).toBe("60");
  expect(JSON.parse(refused.body)).toMatchObject({ code: "rate_limited" });
  expect((await upgrade(server, two)).status).toBe(101);
  expect((await upgrade(server, two)).status).toBe(429);
  clock.advance(60_000);
  expect((await upgrade(server, one)).status).toBe(101);
  expect(await server.metric('nt_refusals_total{reason="rate_limited"}')).toBe(2);
});

test("a limit of 0 is none", async () => {
  await using server = await testServer({ HTTP_RATE_PER_MIN: "0", WS_RATE_PER_MIN: "0" });
  for (let i = 0; i < 50; i++) {
    await using client = await RawClient.open(server.ws);
    await client.settled();
    expect((await mint(server, one)).status).toBe(200);
  }
});

test("behind [::] an IPv4 client has the same name as anywhere", async () => {
  const env = { HOST: "::", HTTP_RATE_PER_MIN: "1" };
  await using server = await testServer(env, { clock: fakeClock() });
  expect((await mint(server, one)).status).toBe(200);
  expect((await mint(server, one)).status).toBe(429);
  expect((await mint(server, two)).status).toBe(200);
});
