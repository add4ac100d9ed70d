import { expect, test } from "bun:test";
import type { Client } from "../../src/admission/clients.ts";
import { originRule } from "../../src/admission/origin.ts";
import { fixedWindow } from "../../src/admission/rate-limit.ts";
import { cryptoRandom } from "../../src/base/clock.ts";
import { memoryEngine } from "../../src/engine/memory/memory.ts";
import { type AppOptions, createApp } from "../../src/http/app.ts";
import { iceSource } from "../../src/rendezvous/ice.ts";
import { rendezvous } from "../../src/rendezvous/rendezvous.ts";
import { metrics } from "../../src/telemetry/metrics.ts";
import { Tally } from "../../src/telemetry/tally.ts";
import { fakeClock } from "../support/clock.ts";
import { someClient } from "../support/some-client.ts";

const roomTtlMs = 600_000;
const start = Date.UTC(2026, 0, 2, 3, 4, 5);
const page = "https://app.example.com";

interface Settings {
  readonly httpRatePerMin?: number;
  readonly maxPerClient?: number;
  readonly maxCodes?: number;
  readonly redeemFailures?: number;
  readonly app?: Partial<AppOptions>;
}

/** Whom a test says it is; one whose name begins with "shared" is everybody behind it. */
function clientOf({ headers }: Request): Client {
  const address = headers.get("x-test-client") ?? "192.0.2.1";
  return someClient(address, address.startsWith("shared"));
}

/** The whole app over a memory engine, without a socket; only the test moves its clock. */
function service(settings: Settings = {}) {
  const time = fakeClock(start);
  const { now } = time;
  const tally = new Tally();
  const errors: unknown[] = [];
  const engine = memoryEngine({
    now,
    limits: {
      roomTtlMs,
      redeemWindowMs: 60_000,
      relayHoldMs: 10_000,
      maxRooms: 100,
      holdMaxFrames: 1,
      holdMaxBytes: 1,
      mailboxMaxMails: 1,
      mailboxMaxBytes: 1,
      mailTotalBytes: 1,
    },
    dropped: () => undefined,
  });
  const app = createApp({
    rendezvous: rendezvous({
      codes: engine.codes,
      random: cryptoRandom,
      roomTtlMs,
      minDigits: 4,
      maxDigits: 8,
      maxPerClient: settings.maxPerClient ?? 0,
      maxCodes: settings.maxCodes ?? 1_000_000,
      redeemFailures: settings.redeemFailures ?? 0,
      tally,
    }),
    limiter: fixedWindow({
      perWindow: settings.httpRatePerMin ?? 0,
      monotonicMs: time.monotonicMs,
      maxKeys: 100,
    }),
    allowsOrigin: originRule({ dev: false, corsOrigins: [page], serverNames: [] }),
    tally,
    ice: iceSource({
      rooms: engine.rooms,
      now,
      iceServers: [],
      turnUrls: [],
      turnSecrets: [],
      turnTtlMs: 60_000,
      turnRooms: "redeemed",
      limiter: fixedWindow({ perWindow: 0, monotonicMs: time.monotonicMs, maxKeys: 1 }),
      sideLimiter: fixedWindow({ perWindow: 0, monotonicMs: time.monotonicMs, maxKeys: 1 }),
    }),
    loadPage: undefined,
    basePath: "",
    draining: () => false,
    ready: () => undefined,
    warning: () => undefined,
    loadMetrics: async () =>
      metrics({
        tally,
        sizes: () => engine.sizes(),
        limiters: () => ({}),
        deferredRequests: () => 0,
        queuedBytes: () => 0,
        fairQueue: { waiting: () => 0, largeMs: 0 },
        monotonicMs: time.monotonicMs,
        maxAgeMs: 0,
        process: {
          version: "0",
          bun: "0",
          engine: "memory",
          maxSockets: 1,
          sockets: () => 0,
          socketClients: () => 0,
          sharedClients: () => 0,
          httpConnections: { size: () => 0, refused: () => 0 },
          guessing: () => ({ recentMisses: 0, shows: false, digits: 4 }),
        },
      }),
    metricsRoute: "/metrics",
    metricsToken: "",
    clientIpHeader: "",
    onError: (error) => errors.push(error),
    ...settings.app,
  });

  async function call(method: string, path: string, init: RequestInit = {}) {
    const request = new Request(`http://signal.example.net${path}`, { method, ...init });
    return await app.fetch(request, clientOf(request));
  }
  const mint = (body?: string, headers: Record<string, string> = {}) =>
    call("POST", "/rendezvous/code", { headers, ...(body !== undefined && { body }) });
  const redeem = (body: string, headers: Record<string, string> = {}) =>
    call("POST", "/rendezvous/redeem", {
      headers: { "Content-Type": "application/json", ...headers },
      body,
    });
  async function minted(body?: string) {
    const response = await mint(body);
    expect(response.status).toBe(200);
    return (await response.json()) as { code: string; appID: string; expiresAt: string };
  }
  return { app, call, errors, mint, minted, redeem, tally, time };
}

/** Expects a problem with this status and code, and gives its response back. */
async function expectProblem(response: Response, status: number, code: string) {
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  expect(await response.clone().json()).toMatchObject({ status, code });
  expect(response.status).toBe(status);
  return response;
}

// ---- minting ----

test("minting answers a decimal code, a room in canonical form and when it ends in UTC", async () => {
  const { mint } = service();
  const response = await mint();
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toBe("application/json");
  expect(response.headers.get("cache-control")).toBe("no-store");
  expect(await response.json()).toEqual({
    code: expect.stringMatching(/^[0-9]{4}$/),
    appID: expect.stringMatching(
      /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    ),
    expiresAt: "2026-01-02T03:14:05.000Z",
  });
});

test("a ttl in seconds shortens a code's life, but never lengthens it", async () => {
  const { minted } = service();
  const livesMs = async (body: string) => Date.parse((await minted(body)).expiresAt) - start;
  expect(await livesMs('{"ttl":60}')).toBe(60_000);
  expect(await livesMs('{"ttl":1.5}')).toBe(1_500);
  expect(await livesMs('{"ttl":0.01}')).toBe(1_000);
  expect(await livesMs('{"ttl":600}')).toBe(600_000);
  expect(await livesMs('{"ttl":86400}')).toBe(600_000);
});

test("any other body is as good as none", async () => {
  const { minted } = service();
  const bodies = [
    "",
    "hello",
    "null",
    "[]",
    "42",
    "{}",
    "{",
    '{"ttl":"60"}',
    '{"ttl":-60}',
    '{"ttl":0}',
    '{"ttl":null}',
    '{"ttl":1e999}',
    `{"ttl":60,"padding":"${"x".repeat(5_000)}"}`,
    "\u0000\uffff",
  ];
  for (const body of bodies) {
    expect((await minted(body)).expiresAt).toBe("2026-01-02T03:14:05.000Z");
  }
});

test("a client that holds as many codes as it may is told when to come back", async () => {
  const { mint, tally } = service({ maxPerClient: 2 });
  await mint('{"ttl":60}');
  await mint();
  const refused = await expectProblem(await mint(), 429, "client_full");
  expect(refused.headers.get("retry-after")).toBe("660");
  expect((await mint(undefined, { "X-Test-Client": "192.0.2.2" })).status).toBe(200);
  expect(tally.refusals.codes_per_client).toBe(1);
});

test("with all codes taken, minting is unavailable for a while", async () => {
  const { mint, tally } = service({ maxCodes: 1 });
  await mint();
  const other = { "X-Test-Client": "192.0.2.2" };
  const refused = await expectProblem(await mint(undefined, other), 503, "codes_full");
  expect(refused.headers.get("retry-after")).toBe("30");
  expect(tally.refusals.codes_full).toBe(1);
});

// ---- redeeming ----

test("a code is redeemed once, for the room and the end it was minted with", async () => {
  const { minted, redeem } = service();
  const { code, appID, expiresAt } = await minted();
  const response = await redeem(JSON.stringify({ code }));
  expect(response.status).toBe(200);
  expect(response.headers.get("cache-control")).toBe("no-store");
  expect(await response.json()).toEqual({ appID, expiresAt });
  await expectProblem(await redeem(JSON.stringify({ code })), 410, "code_gone");
});

test("of 32 racing requests exactly one gets the room", async () => {
  const { minted, redeem } = service();
  const { code } = await minted();
  const answers = Array.from({ length: 32 }, () => redeem(JSON.stringify({ code })));
  const statuses = (await Promise.all(answers)).map(({ status }) => status);
  expect(statuses.toSorted()).toEqual([200, ...Array<number>(31).fill(410)]);
});

test("used, expired and unknown codes are told apart by not a byte", async () => {
  const { minted, redeem, tally, time } = service();
  const used = await minted();
  const expired = await minted('{"ttl":1}');
  await redeem(JSON.stringify({ code: used.code }));
  time.advance(1_000);
  const unknown = "99999999";
  const answers: unknown[] = [];
  for (const code of [used.code, expired.code, unknown]) {
    const response = await redeem(JSON.stringify({ code }));
    answers.push([response.status, response.headers.toJSON(), await response.text()]);
  }
  expect(answers[0]).toEqual(answers[2]);
  expect(answers[1]).toEqual(answers[2]);
  expect(tally.refusals.gone).toBe(3);
});

test("members that redeem doesn't know are ignored", async () => {
  const { minted, redeem } = service();
  const { code } = await minted();
  expect((await redeem(JSON.stringify({ code, side: "B", nested: [{}] }))).status).toBe(200);
});

test("what is no code is malformed, and uses no code up", async () => {
  const { minted, redeem, tally } = service();
  const { code } = await minted();
  const malformed = [
    "",
    "{",
    "null",
    "[]",
    `"${code}"`,
    "{}",
    `{"code":${Number(code)}}`,
    `{"code":["${code}"]}`,
    `{"code":" ${code}"}`,
    `{"code":"${code}\\n"}`,
    '{"code":"123"}',
    '{"code":"123456789"}',
    '{"code":"12e4"}',
    '{"code":"١٢٣٤"}',
  ];
  for (const body of malformed) await expectProblem(await redeem(body), 400, "malformed");
  expect(tally.refusals.bad_request).toBe(malformed.length);
  expect((await redeem(JSON.stringify({ code }))).status).toBe(200);
});

test("a refusal never repeats the code", async () => {
  const { redeem } = service();
  for (const code of ["28020", "28020000000"]) {
    expect(await (await redeem(JSON.stringify({ code }))).text()).not.toContain("28020");
  }
});

test("redeem wants application/json, in any case and with any parameter", async () => {
  const { redeem } = service();
  const body = '{"code":"12345678"}';
  for (const type of ["application/json;charset=utf-8", "Application/JSON ; x=y"]) {
    expect((await redeem(body, { "Content-Type": type })).status).toBe(410);
  }
  for (const type of ["text/plain", "application/jsonp", "application/x-www-form-urlencoded"]) {
    await expectProblem(await redeem(body, { "Content-Type": type }), 415, "not_json");
  }
});

test("a body of 4096 bytes is read, a longer one refused, announced or not", async () => {
  const { redeem } = service();
  const frame = '{"code":"12345678","x":""}';
  const padded = (bytes: number) => frame.replace('""', `"${"x".repeat(bytes - frame.length)}"`);
  const announced = (body: string) => redeem(body, { "Content-Length": String(body.length) });
  expect((await redeem(padded(4096))).status).toBe(410);
  expect((await announced(padded(4096))).status).toBe(410);
  await expectProblem(await redeem(padded(4097)), 413, "body_too_large");
  await expectProblem(await announced(padded(4097)), 413, "body_too_large");
});

test("a body without end is read no further than the limit", async () => {
  const { app } = service();
  let pulled = 0;
  const endless = new ReadableStream<Uint8Array>({
    pull(controller) {
      pulled += 1024;
      controller.enqueue(new Uint8Array(1024));
    },
  });
  const request = new Request("http://signal.example.net/rendezvous/redeem", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: endless,
  });
  await expectProblem(await app.fetch(request, clientOf(request)), 413, "body_too_large");
  expect(pulled).toBeLessThan(16 * 1024);
});

// ---- limits ----

test("past the rate a client is told when to come back, on both routes together", async () => {
  const { mint, redeem, tally, time } = service({ httpRatePerMin: 2 });
  expect((await mint()).status).toBe(200);
  expect((await redeem('{"code":"12345678"}')).status).toBe(410);
  time.advance(30_000);
  const refused = await expectProblem(await mint(), 429, "rate_limited");
  expect(refused.headers.get("retry-after")).toBe("30");
  await expectProblem(await redeem('{"code":"12345678"}'), 429, "rate_limited");
  expect((await mint(undefined, { "X-Test-Client": "192.0.2.2" })).status).toBe(200);
  expect(tally.refusals.rate_limited).toBe(2);
  time.advance(30_000);
  expect((await mint()).status).toBe(200);
});

test("every answer under a rate says how much of it is left", async () => {
  const { mint, redeem } = service({ httpRatePerMin: 3 });
  const answers = [await mint(), await redeem("{}"), await redeem('{"code":"12345678"}')];
  const told = answers.map(({ headers }) => headers.get("ratelimit"));
  expect(told).toEqual(['"minute";r=2;t=60', '"minute";r=1;t=60', '"minute";r=0;t=60']);
  const refused = await expectProblem(await mint(), 429, "rate_limited");
  expect(refused.headers.get("ratelimit")).toBe('"minute";r=0;t=60');
  expect(refused.headers.get("ratelimit-policy")).toBe('"minute";q=3;w=60');
});

test("everybody behind an unknown proxy has 16 times the rate of one client", async () => {
  const { mint } = service({ httpRatePerMin: 1 });
  const headers = { "X-Test-Client": "shared" };
  const first = await mint(undefined, headers);
  expect(first.headers.get("ratelimit-policy")).toBe('"minute";q=16;w=60');
  for (let i = 1; i < 16; i++) expect((await mint(undefined, headers)).status).toBe(200);
  await expectProblem(await mint(undefined, headers), 429, "rate_limited");
});

test("a client that missed too often is refused, whatever the code, for as long as it is told", async () => {
  const { minted, redeem, tally, time } = service({ redeemFailures: 2 });
  const { code } = await minted();
  for (let i = 0; i < 2; i++) {
    await expectProblem(await redeem('{"code":"12345678"}'), 410, "code_gone");
  }
  for (const tried of [code, "12345678"]) {
    const refused = await redeem(JSON.stringify({ code: tried }));
    await expectProblem(refused, 429, "too_many_misses");
    expect(refused.headers.get("retry-after")).toBe("60");
  }
  expect(tally.refusals).toMatchObject({ gone: 2, guesses: 2 });
  time.advance(60_000);
  expect((await redeem(JSON.stringify({ code }))).status).toBe(200);
});

test("what is no code is no guess", async () => {
  const { redeem } = service({ redeemFailures: 1 });
  for (let i = 0; i < 5; i++) await expectProblem(await redeem('{"code":1}'), 400, "malformed");
  await expectProblem(await redeem('{"code":"12345678"}'), 410, "code_gone");
});

test("everybody behind an unknown proxy may miss as often as a site, and is told what to set", async () => {
  const { redeem, tally } = service({ redeemFailures: 1 });
  const behind = { "X-Test-Client": "shared" };
  for (let i = 0; i < 16; i++) {
    await expectProblem(await redeem('{"code":"12345678"}', behind), 410, "code_gone");
  }
  const answer = await redeem('{"code":"12345678"}', behind);
  const refused = await expectProblem(answer, 429, "shared_misses");
  expect(refused.headers.get("retry-after")).toBe("60");
  expect(await refused.text()).toContain("TRUST_PROXY");
  expect(tally.refusals).toMatchObject({ gone: 16, guesses: 1 });
});

test("a code that was guessed at too often is told apart from others, for whoever has the right one", async () => {
  const { minted, redeem, tally } = service();
  const { code } = await minted();
  const wrong = code === "0000" ? "0001" : "0000";
  for (let i = 0; i < 250; i++) await redeem(JSON.stringify({ code: wrong }));
  await expectProblem(await redeem(JSON.stringify({ code })), 410, "code_withdrawn");
  await expectProblem(await redeem(JSON.stringify({ code: wrong })), 410, "code_gone");
  expect(tally.refusals).toMatchObject({ gone: 251, withdrawn: 1 });
});

test("the metrics are rate limited as anything is, health is not", async () => {
  const { call } = service({ httpRatePerMin: 1 });
  expect((await call("GET", "/metrics")).status).toBe(200);
  for (let i = 0; i < 5; i++) {
    expect((await call("GET", "/healthz")).status).toBe(200);
    expect((await call("GET", "/metrics")).status).toBe(429);
  }
});

// ---- operations ----

test("healthz says that the process serves", async () => {
  const response = await service().call("GET", "/healthz");
  expect(response.status).toBe(200);
  expect(await response.json()).toEqual({ ok: true });
});

test("readyz says whether, or why not", async () => {
  let reason: string | undefined;
  let warning: string | undefined;
  const { call } = service({ app: { ready: () => reason, warning: () => warning } });
  const ready = await call("GET", "/readyz");
  expect([ready.status, await ready.json()]).toEqual([200, { ready: true }]);
  warning = "Redis is full.";
  const full = await call("GET", "/readyz");
  expect([full.status, await full.json()]).toEqual([200, { ready: true, warning }]);
  reason = "The server is draining.";
  const draining = await call("GET", "/readyz");
  expect([draining.status, await draining.json()]).toEqual([503, { ready: false, reason }]);
});

test("a readiness check that fails is a no, without its cause", async () => {
  const ready = () => Promise.reject(new Error("secret-host refused"));
  const response = await service({ app: { ready } }).call("GET", "/readyz");
  expect(response.status).toBe(503);
  expect(await response.text()).not.toContain("secret-host");
});

test("metrics are served at their route, in Prometheus' text format", async () => {
  const { call } = service({ app: { metricsRoute: "/internal/metrics" } });
  const response = await call("GET", "/internal/metrics");
  expect(response.headers.get("content-type")).toStartWith("text/plain; version=0.0.4");
  expect(await response.text()).toContain("nt_rooms_active 0\n");
  await expectProblem(await call("GET", "/metrics"), 404, "not_found");
});

// ---- methods and paths ----

test("HEAD answers as GET does, without a body", async () => {
  const { call } = service();
  for (const path of ["/healthz", "/readyz", "/metrics"]) {
    const response = await call("HEAD", path);
    expect(response.status).toBe(200);
    expect(await response.text()).toBe("");
  }
});

test("another method on a known path is refused, with those that are allowed", async () => {
  const { call } = service();
  for (const method of ["GET", "HEAD", "PUT", "DELETE", "PATCH"]) {
    const refused = await call(method, "/rendezvous/code");
    expect(refused.status).toBe(405);
    expect(refused.headers.get("allow")).toBe("POST, OPTIONS");
  }
  const refused = await expectProblem(await call("POST", "/healthz"), 405, "method_not_allowed");
  expect(refused.headers.get("allow")).toBe("GET, HEAD, OPTIONS");
});

test("OPTIONS without a preflight's headers tells the methods", async () => {
  const response = await service().call("OPTIONS", "/rendezvous/redeem");
  expect([response.status, response.headers.get("allow")]).toEqual([204, "POST, OPTIONS"]);
});

test("no other path answers a POST with success", async () => {
  const { call } = service();
  const paths = ["/", "/redeem", "/code", "/rendezvous", "/rendezvous/", "/rendezvous/code/redeem"];
  for (const path of [...paths, "/code/redeem", "/rendezvous/code/", "//rendezvous/code"]) {
    await expectProblem(await call("POST", path), 404, "not_found");
  }
});

test("a query is no part of the path", async () => {
  expect((await service().call("POST", "/rendezvous/code?x=/y")).status).toBe(200);
});

// ---- origins ----

const preflight = {
  "Access-Control-Request-Method": "POST",
  "Access-Control-Request-Headers": "content-type",
};

test("a page of an allowed origin passes its preflight and may read the answers", async () => {
  const { call, redeem } = service({ httpRatePerMin: 2 });
  const asked = await call("OPTIONS", "/rendezvous/redeem", {
    headers: { Origin: page, ...preflight },
  });
  expect(asked.status).toBe(204);
  expect(asked.headers.get("access-control-allow-origin")).toBe(page);
  expect(asked.headers.get("access-control-allow-methods")).toContain("POST");
  expect(asked.headers.get("access-control-allow-headers")).toBe("Content-Type");
  for (const status of [410, 429]) {
    const answer = await redeem('{"code":"12345678"}', { Origin: page });
    expect(answer.status).toBe(status);
    expect(answer.headers.get("access-control-allow-origin")).toBe(page);
    expect(answer.headers.get("access-control-expose-headers")).toBe(
      "Date, RateLimit, RateLimit-Policy, Retry-After",
    );
    expect(answer.headers.has("access-control-allow-credentials")).toBe(false);
  }
});

test("a page of another origin is refused, with or without a preflight", async () => {
  const { call, mint, tally } = service();
  const headers = { Origin: "https://evil.example" };
  const refusals = [
    await call("OPTIONS", "/rendezvous/code", { headers: { ...headers, ...preflight } }),
    await mint(undefined, headers),
    await call("GET", "/healthz", { headers }),
    await call("GET", "/nowhere", { headers }),
  ];
  for (const refused of refusals) {
    await expectProblem(refused, 403, "origin_refused");
    expect(refused.headers.has("access-control-allow-origin")).toBe(false);
    expect(refused.headers.get("vary")).toBe("Origin");
  }
  expect(tally).toMatchObject({ codesMinted: 0, refusals: { origin: 4 } });
});

test("the server's own page needs no listing", async () => {
  const { mint } = service();
  const headers = { Host: "signal.example.net:1234", Origin: "http://signal.example.net:1234" };
  expect((await mint(undefined, headers)).status).toBe(200);
});

test("what a refused page asks for counts: it costs as much as a refusal by the rate", async () => {
  const { mint } = service({ httpRatePerMin: 1 });
  expect((await mint(undefined, { Origin: "https://evil.example" })).status).toBe(403);
  expect((await mint()).status).toBe(429);
});

test("every answer varies by Origin, also to those that sent none", async () => {
  const { call, mint, redeem } = service();
  const answers = [
    await mint(),
    await redeem("{}"),
    await call("GET", "/healthz"),
    await call("GET", "/metrics"),
    await call("GET", "/nowhere"),
    await call("OPTIONS", "/rendezvous/code"),
    await call("PUT", "/rendezvous/code", { headers: { Origin: page } }),
  ];
  for (const { headers } of answers) expect(headers.get("vary")).toBe("Origin");
});

// ---- faults ----

test("what a handler throws is logged and told to nobody", async () => {
  const fault = new Error("the disk at /var/secret is full");
  const broken: AppOptions["rendezvous"] = {
    mint: () => Promise.reject(fault),
    redeem: () => {
      throw fault;
    },
    guessing: () => ({ recentMisses: 0, shows: false, digits: 4 }),
  };
  const { mint, redeem, errors } = service({ app: { rendezvous: broken } });
  for (const answer of [await mint(), await redeem('{"code":"2802"}', { Origin: page })]) {
    const body = await answer.clone().text();
    await expectProblem(answer, 500, "internal");
    expect(body).not.toContain("secret");
  }
  expect(errors).toEqual([fault, fault]);
});

// ---- over a real socket ----

/** Sends `text` as it stands and gives back all that the server answers before it closes. */
async function exchange(port: number, text: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let answer = "";
  await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      open: (socket) => void socket.write(text),
      data: (_, chunk) => {
        answer += chunk.toString();
      },
      close: () => resolve(answer),
      error: (_, error) => reject(error),
    },
  });
  return await promise;
}

/** The app behind a real listener. */
function listening(settings: Settings = {}) {
  const { app } = service(settings);
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request) => app.fetch(request, clientOf(request)),
  });
  return {
    exchange: (text: string) => exchange(server.port ?? 0, text),
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

test("HTTP/1.0 without Host is served, as health checks of load balancers are", async () => {
  await using server = listening();
  const answer = await server.exchange("GET /healthz?probe=1 HTTP/1.0\r\n\r\n");
  expect(answer).toStartWith("HTTP/1.1 200 OK\r\n");
  expect(answer).toEndWith('{"ok":true}');
  const minted = await server.exchange("POST /rendezvous/code HTTP/1.0\r\n\r\n");
  expect(minted).toMatch(/"code":"[0-9]{4}"/);
});

test("a Host that names no host breaks nothing", async () => {
  await using server = listening();
  const head = "HTTP/1.1\r\nHost: a b:c/d\r\nConnection: close\r\n\r\n";
  expect(await server.exchange(`GET /healthz ${head}`)).toEndWith('{"ok":true}');
  expect(await server.exchange(`GET /nowhere ${head}`)).toStartWith("HTTP/1.1 404 ");
});

test("a chunked body is read and bounded like any other", async () => {
  await using server = listening();
  const head =
    "POST /rendezvous/redeem HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" +
    "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
  const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;
  const small = chunk('{"code":') + chunk('"12345678"}') + chunk("");
  expect(await server.exchange(head + small)).toStartWith("HTTP/1.1 410 ");
  const large = chunk("x".repeat(3_000)).repeat(2) + chunk("");
  expect(await server.exchange(head + large)).toStartWith("HTTP/1.1 413 ");
});

test("a mint with a body too long to be a wish leaves the connection in order", async () => {
  await using server = listening();
  const long = `POST /rendezvous/code HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n${"x".repeat(60_000)}`;
  const next = "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
  const answers = await server.exchange(long + next);
  expect(answers).toMatch(/"code":"[0-9]{4}"/);
  expect(answers).toEndWith('{"ok":true}');
});
