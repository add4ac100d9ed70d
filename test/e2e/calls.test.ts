import { expect, test } from "bun:test";
import { fakeClock } from "../support/clock.ts";
import { type Minted, type TestServer, testServer } from "../support/server.ts";

// What each call takes and answers over HTTP. Limits: rate-limits.test.ts, codes.test.ts.

const start = Date.UTC(2026, 0, 2, 3, 4, 5);
const page = "https://app.example.com";
const json = { "content-type": "application/json" };

function post(server: TestServer, path: string, body: string | ReadableStream = "", headers = {}) {
  return fetch(server.http + path, { method: "POST", headers, body });
}

function redeem(
  server: TestServer,
  body: string | ReadableStream,
  headers: Record<string, string> = json,
) {
  return post(server, "/rendezvous/redeem", body, headers);
}

async function expectProblem(answer: Response, status: number, code: string): Promise<void> {
  expect(answer.headers.get("content-type")).toBe("application/problem+json");
  expect([await answer.json(), answer.status]).toMatchObject([{ status, code }, status]);
}

test("a mint answers a code, a room in canonical form and when it ends, for no cache to keep", async () => {
  await using server = await testServer({}, { clock: fakeClock(start) });
  const answer = await post(server, "/rendezvous/code?x=/y");
  expect([answer.status, answer.headers.get("cache-control")]).toEqual([200, "no-store"]);
  expect(answer.headers.get("content-type")).toBe("application/json");
  const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
  const minted = (await answer.json()) as Minted;
  expect(minted).toEqual({
    code: expect.stringMatching(/^[0-9]{4}$/),
    appID: expect.stringMatching(uuid),
    expiresAt: "2026-01-02T03:14:05.000Z",
  });
  const redeemed = await redeem(server, JSON.stringify({ code: minted.code, side: "B", x: [{}] }));
  expect([redeemed.status, redeemed.headers.get("cache-control")]).toEqual([200, "no-store"]);
  const { appID, expiresAt } = minted;
  expect(await redeemed.json()).toEqual({ appID, expiresAt });
});

test("a mint lives as long as its ttl says, a second at least and ROOM_TTL at most or by default", async () => {
  await using server = await testServer({}, { clock: fakeClock(start) });
  const livesMs = async (body: string) => {
    const minted = (await (await post(server, "/rendezvous/code", body)).json()) as Minted;
    return Date.parse(minted.expiresAt) - start;
  };
  expect(await livesMs('{"ttl":60}')).toBe(60_000);
  expect(await livesMs('{"ttl":1.5006}')).toBe(1_501);
  expect(await livesMs('{"ttl":0.01}')).toBe(1_000);
  const padded = `{"ttl":60,"padding":"${"x".repeat(5_000)}"}`;
  const wishes = ['{"ttl":86400}', '{"ttl":"60"}', '{"ttl":-60}', '{"ttl":0}', '{"ttl":null}'];
  const others = ["hello", "null", "[]", "{", '{"ttl":1e999}', "\u0000\uffff", padded];
  for (const body of [...wishes, ...others]) {
    expect([body, await livesMs(body)]).toEqual([body, 600_000]);
  }
});

test("a code can be redeemed until the millisecond in which it ends", async () => {
  const clock = fakeClock(start);
  await using server = await testServer({}, { clock });
  const [early, late] = [await server.mint({ ttl: 60 }), await server.mint({ ttl: 60 })];
  clock.advance(59_999);
  expect((await server.redeem(early.code)).status).toBe(200);
  clock.advance(1);
  expect((await server.redeem(late.code)).status).toBe(410);
});

test("what is no code is malformed: no guess, and no use of a code", async () => {
  await using server = await testServer({ REDEEM_FAILURES: "1" });
  const { code } = await server.mint();
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
  for (const body of malformed) await expectProblem(await redeem(server, body), 400, "malformed");
  expect((await server.redeem(code)).status).toBe(200);
});

test("redeem reads application/json, in any case and with any parameter, of up to 4096 bytes", async () => {
  await using server = await testServer({ REDEEM_FAILURES: "0" });
  const body = '{"code":"12345678"}';
  for (const type of ["application/json;charset=utf-8", "Application/JSON ; x=y"]) {
    expect((await redeem(server, body, { "content-type": type })).status).toBe(410);
  }
  for (const type of ["text/plain", "application/jsonp", "application/x-www-form-urlencoded"]) {
    const answer = await redeem(server, body, { "content-type": type });
    await expectProblem(answer, 415, "not_json");
  }
  const padded = (bytes: number) => body.replace("}", `,"x":"${"x".repeat(bytes - 26)}"}`);
  const inChunks = (text: string) =>
    new ReadableStream({
      async pull(controller) {
        controller.enqueue(text.slice(0, 4_096));
        await Bun.sleep(1);
        if (text.length > 4_096) controller.enqueue(text.slice(4_096));
        controller.close();
      },
    });
  for (const sent of [(text: string) => text, inChunks]) {
    expect((await redeem(server, sent(padded(4_096)))).status).toBe(410);
    await expectProblem(await redeem(server, sent(padded(4_097))), 413, "body_too_large");
  }
});

test("a known path has its methods, another path none; HEAD is GET without the body", async () => {
  await using server = await testServer();
  const ask = (method: string, path: string) => fetch(server.http + path, { method });
  for (const path of ["/healthz", "/readyz", "/metrics"]) {
    const head = await ask("HEAD", path);
    expect([path, head.status, await head.text()]).toEqual([path, 200, ""]);
  }
  for (const method of ["GET", "HEAD", "PUT", "DELETE", "PATCH"]) {
    const refused = await ask(method, "/rendezvous/code");
    expect([refused.status, refused.headers.get("allow")]).toEqual([405, "POST, OPTIONS"]);
  }
  await expectProblem(await ask("POST", "/healthz"), 405, "method_not_allowed");
  const options = await ask("OPTIONS", "/rendezvous/redeem");
  expect([options.status, options.headers.get("allow")]).toEqual([204, "POST, OPTIONS"]);
  // A client takes any 2xx for success.
  const none = ["/redeem", "/code", "/code/redeem", "/rendezvous", "/rendezvous/"];
  for (const path of [...none, "/rendezvous/code/", "/rendezvous/code/redeem"]) {
    await expectProblem(await post(server, path), 404, "not_found");
  }
});

test("a page of a listed origin or of the server itself reads every answer, another one none", async () => {
  await using server = await testServer({ CORS_ORIGINS: page, HTTP_RATE_PER_MIN: "9" });
  for (const status of [400, 200, 404]) {
    const path = { 400: "/rendezvous/redeem", 200: "/rendezvous/code", 404: "/nowhere" }[status];
    const answer = await post(server, path as string, "{}", { ...json, origin: page });
    expect(answer.status).toBe(status);
    expect(answer.headers.get("access-control-allow-origin")).toBe(page);
    expect(answer.headers.get("access-control-expose-headers")).toBe(
      "Date, RateLimit, RateLimit-Policy, Retry-After",
    );
    expect(answer.headers.has("access-control-allow-credentials")).toBe(false);
  }
  expect((await post(server, "/rendezvous/code", "", { origin: server.http })).status).toBe(200);
  const evil = { origin: "https://evil.example" };
  const preflight = {
    method: "OPTIONS",
    headers: { ...evil, "Access-Control-Request-Method": "POST" },
  };
  for (const refused of [
    await fetch(`${server.http}/rendezvous/code`, preflight),
    await post(server, "/rendezvous/code", "", evil),
    await fetch(`${server.http}/healthz`, { headers: evil }),
    await fetch(`${server.http}/nowhere`, { headers: evil }),
  ]) {
    expect(refused.headers.has("access-control-allow-origin")).toBe(false);
    await expectProblem(refused, 403, "origin_refused");
  }
  expect(await server.metric("nt_codes_minted_total")).toBe(2);
  for (const path of ["/healthz", "/rendezvous/code", "/metrics", "/nowhere"]) {
    expect((await fetch(server.http + path)).headers.get("vary")).toBe("Origin");
  }
});
