import { afterAll, describe, expect, test } from "bun:test";
import { fakeClock } from "../support/clock.ts";
import { RawClient } from "../support/raw-client.ts";
import { TestRedis } from "../support/redis.ts";
import { type Minted, type TestServer, testServer } from "../support/server.ts";

// Loopback is a trusted proxy: a header makes a request that of any address.

type Headers = Readonly<Record<string, string>>;
const from = (address: string): Headers => ({ "X-Forwarded-For": address });
/** The n-th /64 of one customer (a /56), one of its site's other customers, and another site's. */
const hostile = (n: number) => from(`2001:db8:1:${(n % 256).toString(16)}::5`);
const neighbour = from("2001:db8:1:4200::5");

function post(server: TestServer, path: string, body: unknown, headers: Headers) {
  return fetch(`${server.http}/rendezvous/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
}
async function statusOf(server: TestServer, path: string, body: unknown, headers: Headers) {
  return (await post(server, path, body, headers)).status;
}
async function mint(server: TestServer, headers: Headers) {
  return (await (await post(server, "code", {}, headers)).json()) as Minted;
}
async function opens(server: TestServer, headers: Headers): Promise<RawClient | undefined> {
  return await RawClient.open(server.ws, { headers }).catch(() => undefined);
}

const redis = await TestRedis.start();
afterAll(() => redis[Symbol.asyncDispose]());

describe.each([
  ["memory", {}],
  ["redis", { REDIS_URL: redis.url }],
])("what one customer of an IPv6 provider does (%s)", (name, engine: Headers) => {
  const settings = (env: Headers = {}): Record<string, string> => ({
    ...engine,
    ...(name === "redis" && { REDIS_PREFIX: `${crypto.randomUUID().slice(0, 8)}:` }),
    ...env,
  });

  test("by wrong codes locks only itself out: its neighbours' right ones are taken", async () => {
    await using server = await testServer(settings({ CODE_DIGITS: "8" }));
    const statuses: number[] = [];
    for (let i = 0; i < 200; i++) {
      statuses.push(await statusOf(server, "redeem", { code: "0000" }, hostile(i)));
    }
    expect(statuses).toEqual([...Array(40).fill(410), ...Array(160).fill(429)]);
    const { code } = await mint(server, neighbour);
    expect(await statusOf(server, "redeem", { code: "0001" }, neighbour)).toBe(410);
    expect(await statusOf(server, "redeem", { code }, neighbour)).toBe(200);
  });

  test("by codes it holds leaves its neighbours theirs, and tells when there are more", async () => {
    await using server = await testServer(settings({ CODES_PER_CLIENT: "3" }));
    const statuses: number[] = [];
    for (let i = 0; i < 64; i++) statuses.push(await statusOf(server, "code", {}, hostile(i)));
    expect(statuses.filter((status) => status === 200)).toHaveLength(12);
    expect(await statusOf(server, "code", {}, neighbour)).toBe(200);
  });

  test("by rooms and sockets leaves its neighbours theirs", async () => {
    const env = { SOCKETS_PER_CLIENT: "3", MAX_ROOMS: "64" };
    await using server = await testServer(settings(env));
    const sockets: RawClient[] = [];
    for (let i = 0; i < 40; i++) {
      const socket = await opens(server, hostile(i));
      if (socket === undefined) continue;
      sockets.push(socket);
      await socket.settled();
    }
    // A quarter of the 32 rooms that were not minted; 12 sockets it might have.
    expect(sockets).toHaveLength(8);
    const theirs = await opens(server, neighbour);
    await theirs?.settled();
    expect(theirs).toBeDefined();
    for (const socket of [...sockets, theirs]) socket?.destroy();
  });
});

test("one customer's flood of requests leaves its neighbours their rate, HTTP and upgrades", async () => {
  const env = { HTTP_RATE_PER_MIN: "2", WS_RATE_PER_MIN: "2" };
  await using server = await testServer(env, { clock: fakeClock() });
  let asked = 0;
  let opened = 0;
  for (let i = 0; i < 64; i++) {
    if ((await statusOf(server, "code", {}, hostile(i))) === 200) asked++;
    const socket = await opens(server, hostile(i));
    if (socket !== undefined) opened++;
    socket?.destroy();
  }
  expect([asked, opened]).toEqual([8, 8]);
  expect(await statusOf(server, "code", {}, neighbour)).toBe(200);
  const socket = await opens(server, neighbour);
  expect(socket).toBeDefined();
  socket?.destroy();
});

// ---- the header of a trusted proxy ----

interface Whoami {
  readonly address: string;
  readonly shared: boolean;
  readonly fault?: string;
}
async function whoami(server: TestServer, headers: Headers): Promise<Whoami> {
  return (await (await fetch(`${server.http}/rendezvous/whoami`, { headers })).json()) as Whoami;
}

test.each([
  ["198.51.100.10:46532", "198.51.100.10"],
  ['"198.51.100.10"', "198.51.100.10"],
  ["::ffff:198.51.100.10", "198.51.100.10"],
  ["[::ffff:198.51.100.10]:80", "198.51.100.10"],
  ["10.0.0.1, 198.51.100.10:46532", "198.51.100.10"],
  ["[2001:db8::7]:46532", "2001:db8:0:0:0:0:0:7"],
  ["2001:db8::7:46532", "2001:db8:0:0:0:0:0:7"],
  ["2001:db8:0:0:0:0:0:7:443", "2001:db8:0:0:0:0:0:7"],
  ["[fe80::7%25eth0]", "fe80:0:0:0:0:0:0:7"],
])("CLIENT_IP_HEADER and X-Forwarded-For may say %s", async (value, address) => {
  for (const header of ["CloudFront-Viewer-Address", "X-Forwarded-For"]) {
    await using server = await testServer({ CLIENT_IP_HEADER: header });
    expect(await whoami(server, { [header]: value })).toMatchObject({ address, shared: false });
  }
});

test.each([
  ["missing", {}],
  ["unreadable", { "CF-Connecting-IP": "s3cret of somebody" }],
  ["unreadable", { "CF-Connecting-IP": "" }],
])(
  "a trusted proxy whose CLIENT_IP_HEADER is %s locks nobody out, and the operator learns it",
  async (fault, headers: Headers) => {
    const env = { CLIENT_IP_HEADER: "CF-Connecting-IP", CODE_DIGITS: "8" };
    const clock = fakeClock();
    await using server = await testServer(env, { clock });
    for (let i = 0; i < 12; i++) {
      expect(await statusOf(server, "redeem", { code: "0000" }, headers)).toBe(410);
    }
    const { code } = await mint(server, headers);
    expect(await statusOf(server, "redeem", { code }, headers)).toBe(200);
    expect(await whoami(server, headers)).toMatchObject({ shared: true, fault });
    // Its probes have no client.
    for (const path of ["/healthz", "/readyz", "/metrics"]) await fetch(server.http + path);
    expect(await server.metric(`nt_unknown_clients_total{fault="${fault}"}`)).toBe(15);

    const warnings = () => server.logLines.filter((line) => line.includes("trusted proxy"));
    expect(warnings()).toHaveLength(1);
    expect(JSON.parse(warnings()[0] as string)).toMatchObject({
      level: "warn",
      proxy: "127.0.0.1",
      header: expect.stringMatching(/cf-connecting-ip/i),
      fault,
    });
    expect(server.logLines.join()).not.toContain("s3cret");
    clock.advance(60_000);
    await whoami(server, headers);
    expect(warnings()).toHaveLength(2);
  },
);

test("without a header, a client on the machine itself is itself; one behind a proxy that shows is not", async () => {
  await using server = await testServer();
  expect(await whoami(server, {})).toMatchObject({ shared: false });
  expect((await mint(server, {})).code).toHaveLength(4);
  expect(await whoami(server, { "X-Real-IP": "192.0.2.1" })).toMatchObject({ fault: "missing" });
});

// ---- TURN ----

test("a stranger who knows the appID uses up none of the ICE servers of those who hold its sides", async () => {
  await using server = await testServer({ TURN_URLS: "turn:127.0.0.1:3478", TURN_SECRET: "north" });
  const { code, appID } = await mint(server, from("192.0.2.1"));
  await statusOf(server, "redeem", { code }, from("192.0.2.2"));
  const holder = from("192.0.2.1");
  const open = () =>
    RawClient.open(server.ws, {
      appId: appID,
      headers: { ...holder, "Sec-WebSocket-Protocol": "nt.v2" },
    });
  const first = await open();
  await first.nextText();
  const ask = (headers: Headers) => statusOf(server, "ice", { appID, side: "A" }, headers);
  for (const stranger of ["198.51.100.1", "198.51.100.2", "192.0.2.2"]) {
    const statuses = [];
    for (let i = 0; i < 5; i++) statuses.push(await ask(from(stranger)));
    expect(statuses).toEqual([200, 200, 200, 200, 403]);
  }
  // Over IPv4 as its socket, and over IPv6.
  expect(await ask(holder)).toBe(200);
  expect(await ask(from("2001:db8:2::5"))).toBe(200);
  first.destroy();
  await first.ended;
  await using again = await open();
  const welcome = JSON.parse(await again.nextText()) as Readonly<Record<string, unknown>>;
  expect(welcome).toMatchObject({
    type: "welcome",
    iceServers: [expect.objectContaining({ credential: expect.any(String) })],
  });
});

// ---- what the log says of limits ----

test("who is locked out or full has one line a minute for each kind of limit", async () => {
  const clock = fakeClock();
  const env = { REDEEM_FAILURES: "1", CODES_PER_CLIENT: "1", SOCKETS_PER_CLIENT: "1" };
  await using server = await testServer({ ...env, MAX_CODES: "20" }, { clock });
  const lines = () =>
    server.logLines
      .map((line) => JSON.parse(line) as Readonly<Record<string, string>>)
      .filter(({ msg = "" }) => /refused by a limit|is full/.test(msg))
      .map(({ level, code, client }) => [level, code, client]);
  const one = from("203.0.113.7");
  const socket = await opens(server, one);
  for (let i = 0; i < 3; i++) {
    await statusOf(server, "redeem", { code: "0000" }, one);
    await statusOf(server, "code", {}, one);
    await opens(server, one);
  }
  expect(lines().toSorted()).toEqual([
    ["info", "client_full", "203.0.113.0/24"],
    ["info", "too_many_misses", "203.0.113.0/24"],
    ["info", "too_many_sockets", "203.0.113.0/24"],
  ]);
  const full = await post(server, "code", {}, one);
  expect(await full.json()).toMatchObject({ detail: expect.stringContaining("ROOM_TTL") });
  for (let i = 0; i < 30; i++) await statusOf(server, "code", {}, from(`198.51.100.${i}`));
  expect(lines().filter(([, code]) => code === "codes_full")).toEqual([
    ["warn", "codes_full", undefined],
  ]);
  clock.advance(60_000);
  await statusOf(server, "code", {}, one);
  expect(lines().filter(([, code]) => code === "client_full")).toHaveLength(2);
  socket?.destroy();
});
