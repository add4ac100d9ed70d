import { expect, test } from "bun:test";
import { fakeClock } from "../support/clock.ts";
import { rawRequest } from "../support/raw-http.ts";
import { type Minted, type TestServer, testServer } from "../support/server.ts";

const roomTtlMs = 600_000;

/** Limits that are no business of the test at hand: far away, but there. */
const generous = { CODES_PER_CLIENT: "1000000", REDEEM_FAILURES: "1000000" };

// On Linux all of 127.0.0.0/8 is this machine: each address is a client of its own.
function post(server: TestServer, path: string, body: string, localAddress = "127.0.0.1") {
  const headers = { "content-type": "application/json" };
  const request = { method: "POST", target: `/rendezvous/${path}`, headers, body, localAddress };
  return rawRequest(server.http, request);
}

function mint(server: TestServer, localAddress?: string) {
  return post(server, "code", "{}", localAddress);
}

function redeem(server: TestServer, code: string, localAddress?: string) {
  return post(server, "redeem", JSON.stringify({ code }), localAddress);
}

/** Many codes, some requests at a time. */
async function mintMany(server: TestServer, count: number): Promise<readonly string[]> {
  const codes: string[] = [];
  while (codes.length < count) {
    const batch = Array.from({ length: Math.min(100, count - codes.length) }, () => server.mint());
    codes.push(...(await Promise.all(batch)).map(({ code }) => code));
  }
  return codes;
}

function lengthsOf(codes: readonly string[]): Record<number, number> {
  const groups = Object.groupBy(codes, ({ length }) => length);
  return Object.fromEntries(Object.entries(groups).map(([key, all]) => [key, all?.length ?? 0]));
}

test("a code has four digits, five when a hundred are live, and four again when they are used", async () => {
  await using server = await testServer(generous, { clock: fakeClock() });
  const codes = await mintMany(server, 150);
  expect(lengthsOf(codes)).toEqual({ 4: 100, 5: 50 });
  expect(new Set(codes).size).toBe(150);
  for (const code of codes) expect((await server.redeem(code)).status).toBe(200);
  expect((await server.mint()).code).toHaveLength(4);
});

test("CODE_DIGITS is the shortest a code can be", async () => {
  await using server = await testServer({ CODE_DIGITS: "6" });
  expect((await server.mint()).code).toMatch(/^[0-9]{6}$/);
});

test("with CODE_DIGITS and CODE_DIGITS_MAX at 4 all codes have four digits, until half are taken", async () => {
  const clock = fakeClock();
  const env = { ...generous, CODE_DIGITS: "4", CODE_DIGITS_MAX: "4" };
  await using server = await testServer(env, { clock });
  const codes: string[] = [];
  for (let host = 1; host <= 8; host++) {
    const answers = Array.from({ length: 625 }, () => mint(server, `127.0.0.${host}`));
    for (const { body } of await Promise.all(answers))
      codes.push((JSON.parse(body) as Minted).code);
  }
  expect(lengthsOf(codes)).toEqual({ 4: 5_000 });
  const refused = await mint(server, "127.0.0.9");
  expect(refused.status).toBe(503);
  expect(refused.headers.get("retry-after")).toBe("30");
  expect(refused.headers.get("content-type")).toBe("application/problem+json");
  expect(JSON.parse(refused.body)).toMatchObject({ status: 503, code: "codes_full" });
  clock.advance(2 * roomTtlMs);
  expect((await server.mint()).code).toHaveLength(4);
});

test("all numbers below 10^digits are drawn from; after 16 that are taken the next length is used", async () => {
  const spaces: number[] = [];
  const random = (below: number) => {
    spaces.push(below);
    return 42;
  };
  await using server = await testServer(generous, { clock: fakeClock(), random });
  for (const code of ["0042", "00042", "000042", "0000042", "00000042"]) {
    spaces.length = 0;
    expect((await server.mint()).code).toBe(code);
    expect(spaces.at(-1)).toBe(10 ** code.length);
  }
  spaces.length = 0;
  expect((await mint(server)).status).toBe(503);
  expect(spaces).toEqual([4, 5, 6, 7, 8].flatMap((digits) => Array<number>(16).fill(10 ** digits)));
});

test("MAX_CODES counts live and resting codes together", async () => {
  const clock = fakeClock();
  await using server = await testServer({ ...generous, MAX_CODES: "3" }, { clock });
  const codes: string[] = [];
  for (const host of ["127.0.0.1", "127.0.0.2", "127.0.0.3"]) {
    codes.push((JSON.parse((await mint(server, host)).body) as Minted).code);
  }
  expect((await server.redeem(codes[0] as string)).status).toBe(200);
  expect((await mint(server, "127.0.0.4")).status).toBe(503);
  expect(await server.metric('nt_refusals_total{reason="codes_full"}')).toBe(1);
  clock.advance(roomTtlMs);
  expect((await mint(server, "127.0.0.4")).status).toBe(200);
});

test("of all codes a client holds an eighth and a /48 a half, and others mint on", async () => {
  await using server = await testServer({ ...generous, MAX_CODES: "80" }, { clock: fakeClock() });
  const from = async (address: string) => {
    const answer = await fetch(`${server.http}/rendezvous/code`, {
      method: "POST",
      headers: { "x-forwarded-for": address },
    });
    return answer.status;
  };
  const counts: Record<string, number> = {};
  for (let net = 0; net < 30; net++) {
    for (let i = 0; i < 11; i++) {
      const status = await from(`2001:db8:0:${net}00::1`);
      counts[status] = (counts[status] ?? 0) + 1;
      if (i === 10) expect(status).toBe(429);
    }
  }
  expect(counts["200"]).toBe(40);
  expect(await from("2001:db8:1::1")).toBe(200);
  expect(await server.metric('nt_refusals_total{reason="codes_full"}')).toBe(0);
});

test("CODES_PER_CLIENT holds for each client, and whoever waits as told may mint again", async () => {
  const clock = fakeClock();
  await using server = await testServer({ CODES_PER_CLIENT: "2" }, { clock });
  const first = JSON.parse((await mint(server)).body) as Minted;
  clock.advance(100_000);
  await mint(server);
  const refused = await mint(server);
  expect(refused.status).toBe(429);
  expect(JSON.parse(refused.body)).toMatchObject({ status: 429, code: "client_full" });
  // Live for ten minutes, resting for another ten; the first is 100 s old.
  expect(refused.headers.get("retry-after")).toBe("1100");
  expect((await mint(server, "127.0.0.2")).status).toBe(200);

  expect((await redeem(server, first.code)).status).toBe(200);
  const sooner = await mint(server);
  expect(sooner.headers.get("retry-after")).toBe("600");
  clock.advance(599_999);
  expect((await mint(server)).status).toBe(429);
  clock.advance(1);
  expect((await mint(server)).status).toBe(200);
});

test("CODES_PER_CLIENT of 0 is no limit, and no share of all either", async () => {
  await using server = await testServer({ CODES_PER_CLIENT: "0", MAX_CODES: "300" });
  expect(await mintMany(server, 300)).toHaveLength(300);
  expect((await mint(server)).status).toBe(503);
});

test("a used or expired code meets nobody for another ROOM_TTL, however many are minted", async () => {
  const clock = fakeClock();
  const drawn = [2802, 2802, 17, 17, 2802];
  const random = () => drawn.shift() ?? 99;
  await using server = await testServer({ CODE_DIGITS_MAX: "4" }, { clock, random });
  expect((await server.mint()).code).toBe("2802");
  expect((await server.redeem("2802")).status).toBe(200);
  expect((await server.mint({ ttl: 60 })).code).toBe("0017");
  clock.advance(60_000);
  expect((await server.redeem("0017")).status).toBe(410);
  expect((await server.redeem("2802")).status).toBe(410);
  expect(await server.metric("nt_codes_resting")).toBe(2);
  // The draws of 17 and 2802 that are left: one rests still, the other does no more.
  clock.advance(roomTtlMs - 60_000);
  expect((await server.mint()).code).toBe("2802");
});

test("unknown, used and expired codes are told apart by nothing", async () => {
  const clock = fakeClock();
  await using server = await testServer({}, { clock });
  const [used, expired] = [await server.mint(), await server.mint({ ttl: 60 })];
  await server.redeem(used.code);
  clock.advance(60_000);
  const told = async (code: string) => {
    const { status, headers, body } = await redeem(server, code);
    headers.delete("date");
    return { status, body, headers: headers.toJSON() };
  };
  const unknown = await told("99999999");
  expect(unknown.status).toBe(410);
  expect(await told(used.code)).toEqual(unknown);
  expect(await told(expired.code)).toEqual(unknown);
  for (const { code } of [used, expired]) expect(unknown.body).not.toContain(code);
});

test("a client that mints and redeems in a loop is stopped by its quota, and others keep short codes", async () => {
  await using server = await testServer();
  const statuses: number[] = [];
  for (let i = 0; i < 300; i++) {
    const { status, body } = await mint(server, "127.0.0.2");
    statuses.push(status);
    if (status !== 200) continue;
    const { code } = JSON.parse(body) as Minted;
    expect((await redeem(server, code, "127.0.0.2")).status).toBe(200);
  }
  expect(statuses.filter((status) => status === 200)).toHaveLength(100);
  expect(statuses.filter((status) => status === 429)).toHaveLength(200);
  const { code } = await server.mint();
  expect(code).toHaveLength(4);
  expect((await server.redeem(code)).status).toBe(200);
});
