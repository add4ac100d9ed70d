import { expect, test } from "bun:test";
import { fakeClock } from "../support/clock.ts";
import { rawRequest } from "../support/raw-http.ts";
import { type Minted, type TestServer, testServer } from "../support/server.ts";

const windowMs = 600_000;

type RequestHeaders = Readonly<Record<string, string>>;

function post(server: TestServer, path: string, body: unknown, headers: RequestHeaders = {}) {
  return fetch(`${server.http}/rendezvous/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
}

function redeem(server: TestServer, code: string, headers?: RequestHeaders) {
  return post(server, "redeem", { code }, headers);
}

/** How often each status came back, when `count` guesses are made, `atOnce` at a time. */
async function sweep(
  server: TestServer,
  count: number,
  headersOf: (guess: number) => RequestHeaders = () => ({}),
  atOnce = 200,
  codeOf = (guess: number) => String(guess % 10_000).padStart(4, "0"),
): Promise<Record<string, number>> {
  const statuses: Record<string, number> = {};
  for (let from = 0; from < count; from += atOnce) {
    const batch = Array.from({ length: Math.min(atOnce, count - from) }, async (_, i) => {
      const guess = from + i;
      const answer = await redeem(server, codeOf(guess), headersOf(guess));
      await answer.arrayBuffer();
      return answer.status;
    });
    for (const status of await Promise.all(batch)) {
      statuses[status] = (statuses[status] ?? 0) + 1;
    }
  }
  return statuses;
}

/** A server on which nobody draws a code below 5000 but the test. */
function withHighCodes(env: Record<string, string> = {}) {
  let next = 5_000;
  const clock = fakeClock();
  return { clock, started: testServer(env, { clock, random: () => next++ }) };
}

test("a client that sweeps the codes gets ten answers, and after them nothing but 429", async () => {
  const { started } = withHighCodes();
  await using server = await started;
  const { code } = await server.mint();
  expect(await sweep(server, 3_000)).toEqual({ 410: 10, 429: 2_990 });
  expect(await server.metric('nt_refusals_total{reason="guesses"}')).toBe(2_990);
  expect(await server.metric('nt_refusals_total{reason="gone"}')).toBe(10);
  const right = await redeem(server, code);
  expect(right.status).toBe(429);
  expect(await right.json()).toMatchObject({ status: 429, code: "too_many_misses" });
  expect(right.headers.get("retry-after")).toBe("600");
  // The code was not taken by it: somebody else redeems it.
  const other = await rawRequest(server.http, {
    method: "POST",
    target: "/rendezvous/redeem",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ code }),
    localAddress: "127.0.0.2",
  });
  expect(other.status).toBe(200);
});

test("a sweep one by one gets no further than one with 200 guesses at once", async () => {
  for (const atOnce of [1, 200]) {
    const { started } = withHighCodes();
    await using server = await started;
    expect(await sweep(server, 200, undefined, atOnce)).toEqual({ 410: 10, 429: 190 });
  }
});

test("with TRUST_PROXY=none, a thousand forged addresses get no more", async () => {
  const { started } = withHighCodes({ TRUST_PROXY: "none" });
  await using server = await started;
  const forged = (guess: number): RequestHeaders => {
    const address = `198.51.${guess >> 8}.${guess & 255}`;
    return {
      "X-Forwarded-For": address,
      Forwarded: `for=${address}`,
      "X-Real-IP": address,
      "CF-Connecting-IP": address,
    };
  };
  expect(await sweep(server, 1_000, forged)).toEqual({ 410: 10, 429: 990 });
});

test("a trusted proxy's clients are told apart: each has ten misses of its own", async () => {
  const { started } = withHighCodes();
  await using server = await started;
  const { code } = await server.mint();
  const behind = (client: string): RequestHeaders => ({ "X-Forwarded-For": client });
  expect(await sweep(server, 50, () => behind("203.0.113.1"))).toEqual({ 410: 10, 429: 40 });
  expect(await sweep(server, 5, () => behind("203.0.113.2"))).toEqual({ 410: 5 });
  expect((await redeem(server, code, behind("203.0.113.1"))).status).toBe(429);
  expect((await redeem(server, code, behind("203.0.113.3"))).status).toBe(200);
});

test("what a client of a trusted proxy forges stands left of what the proxy saw, and changes nothing", async () => {
  const { started } = withHighCodes();
  await using server = await started;
  const forged = (guess: number) => ({
    "X-Forwarded-For": `198.51.${guess >> 8}.${guess & 255}, 203.0.113.1`,
  });
  expect(await sweep(server, 300, forged)).toEqual({ 410: 10, 429: 290 });
  const quoted = (guess: number) => ({
    Forwarded: `for=198.51.${guess >> 8}.${guess & 255};x=", for="[2001:db8::1]"`,
  });
  expect(await sweep(server, 300, quoted)).toEqual({ 410: 10, 429: 290 });
});

test("one IPv6 subscriber is one client, whatever address of its /64 it takes", async () => {
  const { started } = withHighCodes();
  await using server = await started;
  const hosts = (guess: number) => ({ "X-Forwarded-For": `2001:db8:1:2::${guess.toString(16)}` });
  expect(await sweep(server, 100, hosts)).toEqual({ 410: 10, 429: 90 });
});

test("right codes use up no misses, and give none back", async () => {
  await using server = await testServer({ REDEEM_FAILURES: "3", CODES_PER_CLIENT: "0" });
  for (let i = 0; i < 20; i++) {
    const { code } = await server.mint();
    expect((await server.redeem(code)).status).toBe(200);
  }
  expect((await server.redeem("99999999")).status).toBe(410);
  expect((await server.redeem("99999999")).status).toBe(410);
  expect((await server.redeem((await server.mint()).code)).status).toBe(200);
  expect((await server.redeem("99999999")).status).toBe(410);
  expect((await server.redeem((await server.mint()).code)).status).toBe(429);
  expect(await server.metric('nt_code_misses_total{digits="8"}')).toBe(3);
});

test("who waits as long as Retry-After says may try again; who goes on is told twice as long", async () => {
  const clock = fakeClock();
  await using server = await testServer({ REDEEM_FAILURES: "2" }, { clock });
  const told: number[] = [];
  for (let round = 0; round < 4; round++) {
    expect(await sweep(server, 3, undefined, 1)).toEqual({ 410: 2, 429: 1 });
    const waitMs = Number((await redeem(server, "0000")).headers.get("retry-after")) * 1_000;
    told.push(waitMs / windowMs);
    clock.advance(waitMs - 1);
    expect((await redeem(server, "0000")).status).toBe(429);
    clock.advance(1);
  }
  expect(told).toEqual([1, 2, 4, 8]);
  clock.advance(2 * windowMs);
  const { code } = await server.mint();
  expect((await server.redeem(code)).status).toBe(200);
});

test("REDEEM_FAILURES and REDEEM_WINDOW are as they are set, and 0 is no limit", async () => {
  const clock = fakeClock();
  const env = { REDEEM_FAILURES: "4", REDEEM_WINDOW: "30s" };
  await using server = await testServer(env, { clock });
  expect(await sweep(server, 10)).toEqual({ 410: 4, 429: 6 });
  expect((await redeem(server, "0000")).headers.get("retry-after")).toBe("30");
  await using open = await testServer({ REDEEM_FAILURES: "0" });
  expect(await sweep(open, 100)).toEqual({ 410: 100 });
});

test("who is not remembered any more takes no space", async () => {
  const clock = fakeClock();
  await using server = await testServer({}, { clock });
  const many = (guess: number) => ({ "X-Forwarded-For": `203.0.${guess >> 8}.${guess & 255}` });
  await sweep(server, 500, many);
  expect(await server.metric("nt_guessers")).toBe(500);
  clock.advance(2 * windowMs);
  expect(await server.metric("nt_guessers")).toBe(0);
});

// ---- from many addresses ----

test("1,112 addresses with nine misses each take few codes, and are told of; new codes are longer and work", async () => {
  let state = 42;
  const random = (below: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const clock = fakeClock();
  await using server = await testServer({}, { clock, random });
  const victims: string[] = [];
  for (let i = 0; i < 20; i++) victims.push((await server.mint()).code);
  const before = await sweep(server, 1_112 * 9, (guess) => ({
    "X-Forwarded-For": `203.${(guess / 9) >> 8}.0.${((guess / 9) | 0) & 255}`,
  }));
  expect(before["429"]).toBeUndefined();
  // Some 0.5 of 20 are what 250 guesses at four digits take.
  expect(before["200"] ?? 0).toBeLessThanOrEqual(4);
  for (const code of victims) {
    expect((await redeem(server, code, { "X-Forwarded-For": "198.51.100.1" })).status).toBe(410);
  }
  expect(await server.metric('nt_refusals_total{reason="withdrawn"}')).toBeGreaterThan(20);
  const misses = await server.metric('nt_code_misses_total{digits="4"}');
  expect(misses).toBeGreaterThan(9_000);
  expect(await server.metric("nt_codes_guessed")).toBe(1);
  expect(await server.metric("nt_code_misses_recent")).toBe(misses);

  const digits = await server.metric("nt_code_digits");
  const { code } = await server.mint();
  expect(code.length).toBe(digits);
  expect(digits).toBeGreaterThanOrEqual(7);
  expect((await server.redeem(code)).status).toBe(200);

  const told = () => server.logLines.filter((line) => line.includes("being guessed"));
  clock.advance(1_000);
  expect(told()).toHaveLength(1);
  expect(JSON.parse(told()[0] as string)).toMatchObject({ level: "warn", newCodeDigits: digits });
  clock.advance(2 * windowMs);
  expect(told()).toHaveLength(2);
  expect(told()[1]).toContain("not being guessed any more");
  expect(await server.metric("nt_codes_guessed")).toBe(0);
  expect((await server.mint()).code).toHaveLength(4);
});

test("guesses at all lengths count together; each growth of the codes is told of, once", async () => {
  const clock = fakeClock();
  await using server = await testServer({}, { clock });
  let guesser = 0;
  const told = async (misses: readonly (readonly [digits: number, count: number])[]) => {
    for (const [digits, count] of misses) {
      const stranger = () => ({ "X-Forwarded-For": `203.${guesser >> 8}.0.${guesser++ & 255}` });
      await sweep(server, count, stranger, 200, (n) => String(n).padStart(digits, "0"));
    }
    const before = server.logLines.length;
    clock.advance(5_000);
    const lines = server.logLines.slice(before).map((line) => JSON.parse(line));
    return lines.filter(({ level }) => level === "warn").map((line) => line.newCodeDigits);
  };
  expect(await told([4, 5, 6, 7, 8].map((digits) => [digits, 20]))).toEqual([]);
  expect((await server.mint()).code).toHaveLength(4);
  expect(await told([[8, 1]])).toEqual([6]);
  expect((await server.mint()).code).toHaveLength(6);
  expect(await told([[8, 899]])).toEqual([]);
  expect(await told([[8, 1]])).toEqual([7]);
  expect((await server.mint()).code).toHaveLength(7);
});

// ---- behind a proxy that nobody named ----

/** Only 127.0.0.9 is a trusted proxy: 127.0.0.1 is a private peer that tells of others. */
async function behindUnknownProxy(env: Record<string, string> = {}) {
  const server = await testServer({ TRUST_PROXY: "127.0.0.9", ...env }, { clock: fakeClock() });
  const through = (client = "203.0.113.1"): RequestHeaders => ({ "X-Forwarded-For": client });
  return {
    server,
    through,
    mint: async (client?: string) => {
      const answer = await post(server, "code", {}, through(client));
      expect(answer.status).toBe(200);
      return (await answer.json()) as Minted;
    },
    redeem: (code: string, client?: string) => redeem(server, code, through(client)),
    warnings: () => server.logLines.filter((line) => line.includes("TRUST_PROXY")),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

test("behind an unknown proxy codes are two digits longer, and its clients together hold as many as a site", async () => {
  await using proxy = await behindUnknownProxy({ CODES_PER_CLIENT: "2" });
  for (let i = 0; i < 32; i++) expect((await proxy.mint(`203.0.113.${i}`)).code).toHaveLength(6);
  const refused = await post(proxy.server, "code", {}, proxy.through());
  expect(refused.status).toBe(429);
  expect(await refused.json()).toMatchObject({ code: "client_full" });
  await using shorter = await behindUnknownProxy({ CODE_DIGITS_MAX: "5" });
  expect((await shorter.mint()).code).toHaveLength(5);
});

test("a private address that forges X-Forwarded-For gets no more guesses than a site, and no code", async () => {
  await using proxy = await behindUnknownProxy();
  const others = await Promise.all(
    Array.from({ length: 5 }, async () => {
      const minted = await rawRequest(proxy.server.http, {
        method: "POST",
        target: "/rendezvous/code",
        headers: { "X-Forwarded-For": "198.51.100.1" },
        localAddress: "127.0.0.9",
      });
      return (JSON.parse(minted.body) as Minted).code;
    }),
  );
  const all = Array.from({ length: 1_000 }, (_, i) => String(i).padStart(4, "0"));
  const tried = [...all.filter((code) => !others.includes(code)), ...others];
  const statuses = await sweep(
    proxy.server,
    tried.length,
    (guess) => proxy.through(`203.0.${guess >> 8}.${guess & 255}`),
    200,
    (guess) => tried[guess] as string,
  );
  expect(statuses).toEqual({ 410: 160, 429: tried.length - 160 });
  const right = await proxy.redeem(others[0] as string);
  expect(await right.json()).toMatchObject({
    code: "shared_misses",
    detail: expect.stringContaining("TRUST_PROXY"),
  });
});

test("the operator sees by a gauge how many proxies are not known", async () => {
  await using proxy = await behindUnknownProxy();
  await proxy.mint();
  expect(await proxy.server.metric("nt_shared_clients")).toBe(1);
});

test("the operator is told once in the log, and by name what to set", async () => {
  await using proxy = await behindUnknownProxy();
  expect((await proxy.server.mint()).code).toHaveLength(4);
  expect(proxy.warnings()).toEqual([]);
  for (let i = 0; i < 5; i++) await proxy.mint(`203.0.113.${i}`);
  expect(proxy.warnings()).toHaveLength(1);
  expect(proxy.warnings()[0]).toContain('"warn"');
});

test("once a proxy is known for one, it counts as shared also where it tells nothing", async () => {
  await using proxy = await behindUnknownProxy();
  await proxy.mint();
  expect((await proxy.server.mint()).code).toHaveLength(6);
});

test("the clients of a proxy that is named are told apart, beside one that is not", async () => {
  await using proxy = await behindUnknownProxy();
  await proxy.mint();
  const named = (client: string, code: string) =>
    rawRequest(proxy.server.http, {
      method: "POST",
      target: "/rendezvous/redeem",
      headers: { "content-type": "application/json", "X-Forwarded-For": client },
      body: JSON.stringify({ code }),
      localAddress: "127.0.0.9",
    });
  for (let i = 0; i < 10; i++) expect((await named("203.0.113.1", "9999")).status).toBe(410);
  expect((await named("203.0.113.1", "9999")).status).toBe(429);
  expect((await named("203.0.113.2", "9999")).status).toBe(410);
});

test("a client behind the named proxy cannot make itself shared by what it writes", async () => {
  await using proxy = await behindUnknownProxy();
  const minted = await rawRequest(proxy.server.http, {
    method: "POST",
    target: "/rendezvous/code",
    headers: { "X-Forwarded-For": "10.0.0.1, 203.0.113.1", Forwarded: "for=10.0.0.1" },
    localAddress: "127.0.0.9",
  });
  expect((JSON.parse(minted.body) as Minted).code).toHaveLength(4);
  expect(proxy.warnings()).toEqual([]);
});
