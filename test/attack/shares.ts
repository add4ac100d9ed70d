import { startServer } from "../load/server.ts";
import { encodeFrame, opcodes, RawClient } from "../support/raw-client.ts";
import { KeptConnection } from "../support/raw-http.ts";
import { TestRedis } from "../support/redis.ts";
import type { Attack, Verdict } from "./attack-case.ts";
import { eachOf, from, mint, postJson, startTarget, stranger, tryOpen, upTo } from "./target.ts";

// One client, or one /48, takes what it can get. Then somebody else comes.

type Env = Readonly<Record<string, string>>;

const hostile = from("198.18.0.1");
const other = from("203.0.113.7");
const v2 = { "Sec-WebSocket-Protocol": "nt.v2" };

/** An address of the n-th of the /56s of one /48. */
function sitesAddress(n: number): string {
  return `2001:db8:1:${((n + 1) << 8).toString(16)}::5`;
}
/** An address of the n-th of the /64s of one /56, a neighbour of those. */
function customersAddress(n: number): string {
  return `2001:db8:1:${(n % 256).toString(16)}::5`;
}
const neighbour = from(sitesAddress(0));

async function withRedis(run: (env: Env) => Promise<Verdict>): Promise<Verdict> {
  await using redis = await TestRedis.start();
  return await run({ REDIS_URL: redis.url });
}

/** The answers to so many mails with ids, or those that came before the connection ended. */
async function answers(client: RawClient, count: number): Promise<readonly string[]> {
  const texts: string[] = [];
  try {
    while (texts.length < count) {
      const text = await client.nextText();
      if (text.includes('"stored"') || text.includes('"error"')) texts.push(text);
    }
  } catch (error) {
    if (!client.isOver) throw error;
  }
  return texts;
}

/** One client's mail, as much as it may store; then another client's. */
async function fillMail(env: Env): Promise<Verdict> {
  await using target = await startTarget({
    WS_MAX_MSG: "65536",
    MAILBOX_MAX_BYTES: "1048576",
    MAIL_TOTAL_BYTES: "16777216",
    FRAMES_PER_SEC: "0",
    ...env,
  });
  const mail = (to: string, id: number) =>
    `{"type":"send","to":"${to}","payload":"${"x".repeat(60_000)}","id":"${id}"}`;
  const clients: RawClient[] = [];
  for (let n = 0; n < 66; n++) {
    const client = await tryOpen(target, { headers: { ...hostile, ...v2 } });
    if (client === undefined) break;
    clients.push(client);
    for (let id = 0; id < 20; id++) client.send(mail("B", id));
    await answers(client, 20);
  }
  const stored = await target.metric("nt_mailbox_bytes");
  await using sender = await RawClient.open(target.ws, { headers: { ...other, ...v2 } });
  sender.send(mail("B", 1));
  const [answer = "nothing"] = await answers(sender, 1);
  // A v1 sender learns by its close that its mail was refused, and by its mail that it was not.
  await using old = await RawClient.open(target.ws, { headers: other, sid: "" });
  old.send(mail("A", 1));
  old.send('{"type":"hello","deliveredUpTo":0}');
  const came = await old.nextText().catch(() => "");
  const isServed = came.includes('"deliver"');
  for (const client of clients) client.destroy();
  return {
    measured: `it filled ${stored} of 16777216 bytes; the other's v2 mail: ${answer.slice(0, 60)}, v1 sender ${isServed ? "served" : "closed"}`,
    holds: answer.includes('"stored"') && isServed,
  };
}

/** Rooms of one client's own with mail in each; then another client's room. */
async function fillRooms(env: Env): Promise<Verdict> {
  await using target = await startTarget({ MAX_ROOMS: "1000", ...env });
  let rooms = 0;
  await eachOf(upTo(500), 8, async () => {
    const client = await tryOpen(target, { headers: { ...hostile, ...v2 } });
    if (client === undefined) return;
    client.send('{"type":"send","to":"B","payload":"hello","id":"one"}');
    await answers(client, 1);
    client.destroy();
    await client.ended;
    rooms++;
  });
  const socket = await tryOpen(target, { headers: other });
  const stays = await socket?.settled().then(
    () => true,
    () => false,
  );
  socket?.destroy();
  return {
    measured: `it took ${rooms} of 500 rooms; the other's room: ${stays ? "open" : "refused"}`,
    holds: stays === true,
  };
}

/** Mints as strangers told by `who`; then somebody else does. */
async function fillCodes(
  env: Env,
  who = (n: number) => sitesAddress(n % 30),
  next = from("2001:db8:2:1::5"),
): Promise<Verdict> {
  await using target = await startTarget({ MAX_CODES: "3000", ...env });
  let minted = 0;
  await eachOf(upTo(3_000), 16, async (n) => {
    if ((await mint(target, from(who(n)))) !== undefined) minted++;
  });
  const code = await mint(target, next);
  return {
    measured: `they minted ${minted} of 3000; the other's mint: ${code === undefined ? "refused" : "served"}`,
    holds: code !== undefined,
  };
}

/** Opens sockets as strangers told by `who`; then somebody else comes. */
async function fillSockets(
  who: (n: number) => Env,
  perClient: string,
  next: Env = other,
): Promise<Verdict> {
  await using target = await startTarget({ MAX_SOCKETS: "300", SOCKETS_PER_CLIENT: perClient });
  const clients: RawClient[] = [];
  for (let n = 0; n < 300; n++) {
    const client = await tryOpen(target, { headers: who(n) });
    if (client !== undefined) clients.push(client);
  }
  const socket = await tryOpen(target, { headers: next });
  for (const client of [...clients, socket]) client?.destroy();
  return {
    measured: `${clients.length} of 300 sockets taken; the other's: ${socket ? "open" : "refused"}`,
    holds: socket !== undefined,
  };
}

/** Requests of 32 × as many clients as a site may have, all within one site, in one window. */
async function siteRate(): Promise<Verdict> {
  await using target = await startTarget({ HTTP_RATE_PER_MIN: "10", WS_RATE_PER_MIN: "10" });
  let asked = 0;
  let opened = 0;
  await eachOf(upTo(640), 16, async (n) => {
    const headers = from(sitesAddress(n % 64));
    const answer = await postJson(target, "redeem", { code: "x" }, headers);
    if (answer.status !== 429) asked++;
    const socket = await tryOpen(target, { headers });
    if (socket !== undefined) opened++;
    socket?.destroy();
  });
  // A window may turn in the midst of it.
  return {
    measured: `${asked} requests and ${opened} upgrades let in`,
    holds: asked <= 2 * 160 && opened <= 2 * 160,
  };
}

/** Strangers ask for the TURN credentials of a side; then its holder does. */
async function useUpTurn(): Promise<Verdict> {
  await using target = await startTarget({
    TURN_URLS: "turn:127.0.0.1:3478",
    TURN_SECRET: "north",
    TURN_ROOMS: "any",
  });
  const appId = crypto.randomUUID();
  const open = () => RawClient.open(target.ws, { appId, headers: { ...other, ...v2 } });
  const socket = await open();
  await socket.nextText();
  const ask = (headers: Env) => postJson(target, "ice", { appID: appId, side: "A" }, headers);
  let given = 0;
  await eachOf(upTo(200), 16, async (n) => {
    if ((await ask(from(stranger(n % 40)))).ok) given++;
  });
  const own = await ask(other);
  socket.destroy();
  await socket.ended;
  await using again = await open();
  const welcome = await again.nextText();
  const hasTurn = welcome.includes('"credential"');
  return {
    measured: `strangers were given ${given}; the holder: ${own.status}, its welcome ${hasTurn ? "with" : "without"} TURN`,
    holds: own.ok && hasTurn,
  };
}

/** Behind a proxy that is not trusted: limits of a site, not none. */
async function sharedLimits(): Promise<Verdict> {
  await using target = await startTarget({
    TRUST_PROXY: "192.0.2.1",
    HTTP_RATE_PER_MIN: "10",
    SOCKETS_PER_CLIENT: "5",
  });
  let asked = 0;
  await eachOf(upTo(640), 16, async (n) => {
    const answer = await postJson(target, "code", {}, from(stranger(n)));
    if (answer.status !== 429) asked++;
  });
  const clients: RawClient[] = [];
  for (let n = 0; n < 160; n++) {
    const client = await tryOpen(target, { headers: from(stranger(n)) });
    if (client !== undefined) clients.push(client);
  }
  for (const client of clients) client.destroy();
  return {
    measured: `${asked} of 640 requests and ${clients.length} of 160 sockets let in`,
    holds: asked <= 2 * 160 && clients.length <= 80,
  };
}

/** Stalled readers of one client fill WS_BUFFER_TOTAL while another's reader is a little behind. */
async function fillUnsent(): Promise<Verdict> {
  await using target = await startTarget({
    WS_BUFFER_TOTAL: "16777216",
    FRAMES_PER_SEC: "0",
    // Who does not read answers no ping either.
    HEARTBEAT: "10m",
    SLOW_PEER_TIMEOUT: "10m",
  });
  const frame = encodeFrame(
    opcodes.text,
    Buffer.from(`{"type":"ice","candidate":"${"x".repeat(60_000)}"}`),
  );
  /** A pair whose reader has stopped. */
  const stalled = async (headers: Env) => {
    const appId = crypto.randomUUID();
    const a = await RawClient.open(target.ws, { appId, headers });
    const b = await RawClient.open(target.ws, { appId, side: "B", headers });
    await Promise.all([a.nextText(), b.nextText()]);
    b.pause();
    return { a, b };
  };
  const honest = await stalled(other);
  let frames = 0;
  // Until the kernel has taken all it will, and some of it stays with the server.
  while (frames < 400 && (await target.metric("nt_ws_buffered_bytes")) === 0) {
    for (let i = 0; i < 4; i++) honest.a.sendRaw(frame);
    frames += 4;
    // The metrics may be up to a second old.
    await Bun.sleep(1_050);
  }
  honest.a.sendRaw(Buffer.concat(Array.from({ length: 6 }, () => frame)));
  const burst = Buffer.concat(Array.from({ length: frames }, () => frame));
  // Each of these has less waiting than the honest one.
  const pairs: Awaited<ReturnType<typeof stalled>>[] = [];
  await eachOf(upTo(200), 4, async () => {
    const pair = await stalled(hostile).catch(() => undefined);
    if (pair === undefined) return;
    pairs.push(pair);
    pair.a.sendRaw(burst);
    await Promise.race([pair.a.flushed().catch(() => {}), Bun.sleep(500)]);
  });
  await Bun.sleep(1_050);
  const unsent = await target.metric("nt_ws_buffered_bytes");
  honest.b.resume();
  const served = await honest.b.settled().then(
    () => "open",
    () => "closed",
  );
  const why = served === "open" ? "" : ` (${(await honest.b.ended).reason})`;
  for (const { a, b } of [honest, ...pairs]) for (const client of [a, b]) client.destroy();
  return {
    measured: `${pairs.length} stalled readers, ${unsent} bytes unsent; the other's reader: ${served}${why}`,
    holds: served === "open",
  };
}

/** The same with real addresses of one /48, over IPv6. */
async function fillSocketsFromOneSite(): Promise<Verdict> {
  const env = { HOST: "::", MAX_SOCKETS: "300", SOCKETS_PER_CLIENT: "100" };
  await using target = await startTarget(env, "[2001:db8:ff::80]");
  const clients: RawClient[] = [];
  for (let n = 0; n < 300; n++) {
    const client = await tryOpen(target, { localAddress: sitesAddress(n % 3) });
    if (client !== undefined) clients.push(client);
  }
  const socket = await tryOpen(target, { localAddress: "2001:db8:2:1::5" });
  for (const client of [...clients, socket]) client?.destroy();
  return {
    measured: `${clients.length} of 300 sockets taken; another site's: ${socket ? "open" : "refused"}`,
    holds: socket !== undefined,
  };
}

/** Asks once on each of so many connections, and keeps those that the server keeps. */
async function keepConnections(
  http: string,
  count: number,
  headersOf: (n: number) => Env,
): Promise<KeptConnection[]> {
  const kept: KeptConnection[] = [];
  await eachOf(upTo(count), 8, async (n) => {
    const connection = KeptConnection.connect(new URL(http));
    const lines = Object.entries(headersOf(n)).map(([name, value]) => `${name}: ${value}`);
    const answer = await connection.ask("GET /healthz", lines).catch(() => undefined);
    if (answer?.headers.get("connection") === null) kept.push(connection);
    else await connection[Symbol.asyncDispose]();
  });
  return kept;
}

async function disposeAll(connections: readonly KeptConnection[]): Promise<void> {
  for (const connection of connections) await connection[Symbol.asyncDispose]();
}

/** One client keeps HTTP connections; then another client does. */
async function fillConnections(): Promise<Verdict> {
  await using target = await startTarget({ MAX_SOCKETS: "240" });
  const kept = await keepConnections(target.http, 240, () => hostile);
  const others = await keepConnections(target.http, 1, () => other);
  await disposeAll([...kept, ...others]);
  return {
    measured: `${kept.length} of 240 kept; the other's: ${others.length === 1 ? "kept" : "ended"}`,
    holds: kept.length <= 30 && others.length === 1,
  };
}

/** Many addresses keep connections until there is no descriptor left; then somebody opens a socket. */
async function fillDescriptors(): Promise<Verdict> {
  await using target = await startServer({}, 200);
  const ws = target.http.replace("http", "ws");
  const sockets = await Promise.all(
    [...upTo(60)].map((n) => tryOpen({ ws }, { headers: from(stranger(n)) })),
  );
  const kept = await keepConnections(target.http, 180, (n) => from(stranger(1_000 + n)));
  const more = await Promise.all(
    [...upTo(60)].map((n) => tryOpen({ ws }, { headers: from(stranger(n)) })),
  );
  const opened = more.filter((socket) => socket !== undefined).length;
  await disposeAll(kept);
  for (const socket of [...sockets, ...more]) socket?.destroy();
  return {
    measured: `${kept.length} of 180 connections kept beside 60 sockets; then ${opened} of 60 sockets opened`,
    holds: opened === 60,
  };
}

export const shares: readonly Attack[] = [
  {
    name: "share-of-http-connections",
    tries: "one client keeps MAX_SOCKETS HTTP connections open",
    bound: "an eighth is kept, and another client's",
    short: true,
    run: fillConnections,
  },
  {
    name: "http-connections-of-many",
    tries: "180 addresses keep an HTTP connection each, of 200 descriptors",
    bound: "sockets open all the same: idle connections are closed for them",
    run: fillDescriptors,
  },
  {
    name: "share-of-mail",
    tries: "66 sockets of one client fill MAIL_TOTAL_BYTES",
    bound: "another client's mail is stored, its v1 sender stays",
    short: true,
    run: () => fillMail({}),
  },
  {
    name: "share-of-mail-redis",
    tries: "the same with Redis",
    bound: "another client's mail is stored, its v1 sender stays",
    needs: ["redis-server"],
    run: () => withRedis(fillMail),
  },
  {
    name: "share-of-rooms",
    tries: "one client leaves a mail in half of MAX_ROOMS",
    bound: "another client's own room is admitted",
    short: true,
    run: () => fillRooms({}),
  },
  {
    name: "share-of-rooms-redis",
    tries: "the same with Redis",
    bound: "another client's own room is admitted",
    needs: ["redis-server"],
    run: () => withRedis(fillRooms),
  },
  {
    name: "share-of-sockets",
    tries: "one client opens MAX_SOCKETS (SOCKETS_PER_CLIENT is higher)",
    bound: "another client's socket is admitted",
    short: true,
    run: () => fillSockets(() => hostile, "1000"),
  },
  {
    name: "share-of-sockets-of-a-site",
    tries: "three /56s of one /48 open MAX_SOCKETS",
    bound: "another site's socket is admitted",
    short: true,
    run: () => fillSockets((n) => from(sitesAddress(n % 3)), "100"),
  },
  {
    name: "share-of-sockets-of-a-real-site",
    tries: "the same over IPv6, without a proxy, in a network of its own",
    bound: "another site's socket is admitted",
    addresses: ["2001:db8:ff::80", "2001:db8:2:1::5", ...[0, 1, 2].map(sitesAddress)],
    run: fillSocketsFromOneSite,
  },
  {
    name: "share-of-sockets-of-a-customer",
    tries: "256 /64s of one /56 open MAX_SOCKETS",
    bound: "another customer's socket of the same /48 is admitted",
    short: true,
    run: () => fillSockets((n) => from(customersAddress(n)), "100", neighbour),
  },
  {
    name: "share-of-codes-of-a-customer",
    tries: "256 /64s of one /56 mint MAX_CODES",
    bound: "another customer of the same /48 mints",
    short: true,
    run: () => fillCodes({}, customersAddress, neighbour),
  },
  {
    name: "share-of-codes-of-a-customer-redis",
    tries: "the same with Redis",
    bound: "another customer of the same /48 mints",
    needs: ["redis-server"],
    run: () => withRedis((env) => fillCodes(env, customersAddress, neighbour)),
  },
  {
    name: "share-of-turn-of-a-holder",
    tries: "40 strangers who know an appID ask for the ICE servers of a held side, 5 times each",
    bound: "the holder is given its own, over HTTP and in its welcome",
    short: true,
    run: useUpTurn,
  },
  {
    name: "share-of-codes-of-a-site",
    tries: "thirty /56s of one /48 mint MAX_CODES",
    bound: "another site mints",
    short: true,
    run: () => fillCodes({}),
  },
  {
    name: "share-of-codes-of-a-site-redis",
    tries: "the same with Redis",
    bound: "another site mints",
    needs: ["redis-server"],
    run: () => withRedis(fillCodes),
  },
  {
    name: "share-of-unsent-bytes",
    tries: "stalled readers of one client fill WS_BUFFER_TOTAL",
    bound: "another client's reader, a little behind, stays",
    run: fillUnsent,
  },
  {
    name: "rate-of-a-site",
    tries: "64 /56s of one /48, 10 requests and upgrades each (10 a minute for a client)",
    bound: "at most 160 of each a window",
    short: true,
    run: siteRate,
  },
  {
    name: "limits-behind-an-untrusted-proxy",
    tries: "640 requests and 160 sockets of a private address that sends X-Forwarded-For",
    bound: "16 × what one client may: 160 a window, 80 sockets",
    short: true,
    run: sharedLimits,
  },
];
