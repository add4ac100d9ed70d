import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openPair, TestClient } from "../support/client.ts";
import { type LogLine, Program } from "../support/program.ts";
import { RawClient, upgradeRequest } from "../support/raw-client.ts";
import { rawRequest } from "../support/raw-http.ts";
import { type TestServer, testServer } from "../support/server.ts";

const eightDigits = { CODE_DIGITS: "8", CODE_DIGITS_MAX: "8" };

/** Words that no page of the server's own may show, by what they are. */
class Secrets {
  private readonly words: { readonly what: string; readonly word: string }[] = [];

  add<T extends string>(what: string, word: T): T {
    this.words.push({ what, word });
    return word;
  }

  /** What of them stands in the text, in whatever case. */
  in(text: string): readonly string[] {
    const lower = text.toLowerCase();
    return this.words
      .filter(({ word }) => lower.includes(word.toLowerCase()))
      .map(({ what, word }) => `${what} ${word}`);
  }
}

test("a busy day leaves no code, room, client, message or secret in logs, metrics or problems", async () => {
  const folder = await mkdtemp(join(tmpdir(), "nt-signal-secrets-"));
  const secrets = new Secrets();
  const env = {
    ...eightDigits,
    LOG_LEVEL: "trace",
    HEARTBEAT: "200ms",
    ROOM_TTL: "1m",
    CODES_PER_CLIENT: "6",
    REDEEM_FAILURES: "3",
    SOCKETS_PER_CLIENT: "12",
    CORS_ORIGINS: "https://app.example",
    TURN_URLS: "turn:turn.example:3478",
    TURN_SECRET: secrets.add("TURN secret", "turn-secret-5d1f"),
    METRICS_TOKEN: secrets.add("metrics token", "metrics-token-77aa"),
    STATE_FILE: join(folder, "state"),
  };
  await using program = await Program.start(env);
  const url = await program.listening();
  const ws = `ws://${url.host}`;
  const problems: string[] = [];
  const post = async (path: string, body: string, headers: Record<string, string> = {}) => {
    const answer = await fetch(new URL(path, url), {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body,
    });
    const text = await answer.text();
    if (!answer.ok) problems.push(text);
    return text;
  };

  // Codes: minted, used, used again, missed until locked, too many.
  const rooms: string[] = [];
  for (let i = 0; i < 8; i++) {
    const minted = JSON.parse(await post("/rendezvous/code", "{}")) as Record<string, string>;
    if (minted["appID"] === undefined) continue;
    const code = secrets.add("code", minted["code"] as string);
    expect(code).toMatch(/^\d{8}$/);
    rooms.push(secrets.add("appID", minted["appID"]));
    if (i < 3) await post("/rendezvous/redeem", JSON.stringify({ code }));
    if (i < 2) await post("/rendezvous/redeem", JSON.stringify({ code }));
  }
  const guess = secrets.add("guessed code", "90817263");
  for (let i = 0; i < 4; i++) await post("/rendezvous/redeem", JSON.stringify({ code: guess }));
  await post("/rendezvous/redeem", `{"code":"${secrets.add("bad code", "908172635544")}"}`);
  await post("/rendezvous/redeem", `not json ${guess}`);
  await post("/rendezvous/redeem", `{"code":"${guess}","pad":"${"x".repeat(5_000)}"}`);
  await post(`/rendezvous/redeem?code=${guess}`, "", { "content-type": `text/${guess}` });
  await post(`/rendezvous/${guess}`, "{}");
  const [appId = ""] = rooms;
  await post("/rendezvous/ice", JSON.stringify({ appID: appId, side: "A" }));
  await post("/rendezvous/ice", JSON.stringify({ appID: rooms[5], side: "A" }));

  // Sockets: joined, taken over, busy, refused, malformed, too big, cut.
  const sid = secrets.add("sid", "sid-0f9e8d7c");
  const sdp = secrets.add("SDP", "v=0 o=alice 6b7c8d9e");
  const payload = secrets.add("payload", "payload-a1b2c3d4");
  const id = secrets.add("mail id", "mail-id-99887766");
  await using pair = await openPair({ ws }, { appId, a: { v2: true, sid }, b: { sid } });
  pair.a.send({ type: "offer", sdp });
  pair.b.send({ type: "answer", sdp });
  pair.a.send({ type: "send", to: "B", id, payload });
  await pair.a.nextOf("stored");
  pair.b.send({ type: "hello", sessionId: sid, deliveredUpTo: 0 });
  await pair.b.nextOf("deliver");
  for (const bad of [
    `garbage ${payload}`,
    { type: payload, sdp },
    { type: "send", to: payload, id, payload },
    { type: "hello", deliveredUpTo: payload },
    { type: "telemetry", event: "ice-failed", reason: payload },
    { type: "send", to: "B", id: payload.repeat(20), payload },
  ]) {
    pair.a.send(bad);
    pair.b.send(bad);
  }
  for (const frame of await pair.a.settled()) {
    if (frame.type === "error") problems.push(JSON.stringify(frame));
  }
  await using heir = await TestClient.open(ws, appId, "B", { sid });
  heir.send({ type: "hello", deliveredUpTo: 0 });
  expect(await pair.b.closed).toMatchObject({ code: 1000 });
  await using big = await RawClient.open(ws, { appId: rooms[3] as string });
  big.send(sdp.repeat(200_000));
  await big.ended;
  await using torn = await RawClient.open(ws, { appId: rooms[4] as string, sid });
  torn.reset();
  await using silent = await RawClient.open(ws, { appId: rooms[4] as string, autoPong: false });
  await silent.ended;
  const target = `/ws?appID=${appId}&side=A&sid=${sid}`;
  for (const request of [
    { target },
    upgradeRequest(`/ws?appID=${appId}-${payload.slice(0, 4)}&side=A&sid=${sid}`),
    upgradeRequest(`/ws?appID=${appId}&side=C&sid=${sid}`),
    upgradeRequest(`${target}${"x".repeat(300)}`),
    upgradeRequest(target, { origin: "https://evil.example" }),
    upgradeRequest(target, { "sec-websocket-key": "" }),
    { target: `/${appId}/${guess}`, method: "POST" },
  ]) {
    const { status, body } = await rawRequest(url.href, request);
    expect(status).toBeGreaterThanOrEqual(400);
    problems.push(body);
  }

  const headers = { authorization: `Bearer ${env.METRICS_TOKEN}` };
  const metrics = await (await fetch(new URL("/metrics", url), { headers })).text();
  problems.push(await (await fetch(new URL("/metrics", url))).text());
  program.signal("SIGTERM");
  expect(await program.exit()).toBe(0);
  await using heirProgram = await Program.start(env);
  await heirProgram.listening();
  heirProgram.signal("SIGTERM");
  expect(await heirProgram.exit()).toBe(0);
  await rm(folder, { recursive: true });

  const logs = program.stdout + program.stderr + heirProgram.stdout + heirProgram.stderr;
  for (const told of [
    ...["minted", "redeemed", "join", "paired", "leave", "refused", "frame", "frame refused"],
    ...["state restored", "protocol", "replaced"],
  ]) {
    expect(logs).toContain(`"${told}"`);
  }
  expect(metrics).toContain("nt_codes_minted_total 6");
  expect(problems.length).toBeGreaterThan(15);
  expect(secrets.in(logs)).toEqual([]);
  expect(secrets.in(metrics)).toEqual([]);
  for (const text of problems) {
    // A client's own id comes back to it, as it is how it knows which of its mails is meant.
    expect(secrets.in(text).filter((found) => !found.startsWith("mail id"))).toEqual([]);
  }
});

// ---- what the log does tell ----

function journal(server: TestServer, msg: string): readonly LogLine[] {
  return server.logLines.map((line) => JSON.parse(line) as LogLine).filter((l) => l.msg === msg);
}

test("a join and its leave tell which connection, how long, how much and why", async () => {
  await using server = await testServer();
  await using peer = await TestClient.open(server.ws, crypto.randomUUID(), "A");
  peer.send({ type: "hello" });
  peer.send("ä".repeat(10));
  await peer.close();
  await server.stop();
  const [join] = journal(server, "join");
  const [leave] = journal(server, "leave");
  expect(join).toEqual({
    time: expect.any(String),
    level: "debug",
    msg: "join",
    connection: expect.stringMatching(/^\w+$/),
    room: expect.stringMatching(/^[0-9a-f]{10}$/),
    side: "A",
    client: "127.0.0.0/24",
  });
  expect(leave).toEqual({
    time: expect.any(String),
    level: "debug",
    msg: "leave",
    connection: join?.["connection"],
    room: join?.["room"],
    side: "A",
    why: "client",
    ms: expect.any(Number),
    frames: 2,
    bytes: '{"type":"hello"}'.length + 20,
  });
  expect(Number.isInteger(leave?.["ms"])).toBe(true);
});

test("a room has one tag in every line, another than other rooms and in other servers", async () => {
  const appId = crypto.randomUUID();
  const tags: unknown[][] = [];
  for (let run = 0; run < 2; run++) {
    await using server = await testServer();
    await using _pair = await openPair(server, { appId });
    await using again = await TestClient.open(server.ws, `{${appId.toUpperCase()}}`, "B", {
      sid: "other",
    });
    await using other = await TestClient.open(server.ws, crypto.randomUUID(), "A");
    await other.settled();
    await again.close();
    await server.stop();
    const lines = [...journal(server, "join"), ...journal(server, "leave")];
    expect(lines).toHaveLength(8);
    const counts = Map.groupBy(lines, (line) => line["room"]);
    expect(Array.from(counts.values(), (of) => of.length).toSorted()).toEqual([2, 6]);
    expect(new Set(journal(server, "join").map((line) => line["connection"])).size).toBe(4);
    tags.push([...counts.keys()]);
  }
  const [first = [], second = []] = tags;
  expect(first.filter((tag) => second.includes(tag))).toEqual([]);
});

test.each([
  ["full", "127.0.0.1"],
  ["prefix", "127.0.0.0/24"],
  ["none", undefined],
])("LOG_CLIENT=%s", async (mode, client) => {
  await using server = await testServer({ LOG_CLIENT: mode });
  await using peer = await TestClient.open(server.ws, crypto.randomUUID(), "A");
  await peer.settled();
  await rawRequest(server.http, upgradeRequest("/ws?appID=none&side=A"));
  for (const msg of ["join", "refused"]) {
    const [line] = journal(server, msg);
    expect([msg, line?.["client"]]).toEqual([msg, client]);
    expect(line !== undefined && "client" in line).toBe(client !== undefined);
  }
  if (mode !== "full") expect(server.logLines.join("")).not.toContain('127.0.0.1"');
});

test("a mint, a redeem and a pairing have a line each, with the room's tag and no code", async () => {
  await using server = await testServer({ ...eightDigits });
  const { code, appID } = await server.mint();
  await server.redeem(code);
  await using a = await TestClient.open(server.ws, appID, "A", { v2: true });
  const { room } = await a.nextOf("welcome");
  await using b = await TestClient.open(server.ws, appID, "B");
  await b.nextOf("room_full");
  const whoami = await fetch(`${server.http}/rendezvous/whoami?appID={${appID.toUpperCase()}}`);
  expect(await whoami.json()).toMatchObject({ room });
  for (const msg of ["minted", "redeemed"]) {
    const [line] = journal(server, msg);
    expect(line).toEqual({
      time: expect.any(String),
      level: "debug",
      msg,
      room: room as string,
      client: "127.0.0.0/24",
    });
  }
  const joins = journal(server, "join").map(({ connection }) => connection);
  expect(journal(server, "paired")).toEqual([
    expect.objectContaining({ level: "debug", room, side: "B", connection: joins[1] }),
  ]);
  expect(server.logLines.join("")).not.toContain(code);
});

test("a room has no tag where the log tells of no rooms", async () => {
  await using server = await testServer({ LOG_LEVEL: "info" });
  const appId = crypto.randomUUID();
  await using a = await TestClient.open(server.ws, appId, "A", { v2: true });
  expect(await a.nextOf("welcome")).not.toHaveProperty("room");
  const whoami = await fetch(`${server.http}/rendezvous/whoami?appID=${appId}`);
  expect(await whoami.json()).not.toHaveProperty("room");
});

test("at level trace each frame has a line: what it was and what became of it", async () => {
  await using server = await testServer({ LOG_LEVEL: "trace" });
  await using a = await TestClient.open(server.ws, crypto.randomUUID(), "A", { v2: true });
  const { room } = await a.nextOf("welcome");
  const appId = new URL(a.socket.url).searchParams.get("appID") as string;
  a.send({ type: "offer" });
  await using b = await TestClient.open(server.ws, appId, "B");
  await b.nextOf("room_full");
  for (const frame of [
    { type: "offer", sdp: "ä" },
    { type: "send", to: "B", payload: "secret" },
    { type: "delivered", upTo: 0 },
    { type: "send", to: "secret", payload: "secret" },
    { type: "secret" },
    { type: "ping" },
    "secret",
  ]) {
    a.send(frame);
  }
  await a.settled();
  const lines = journal(server, "frame");
  expect(lines.map(({ type, bytes, outcome }) => `${type} ${bytes} ${outcome}`)).toEqual([
    "offer 16 no_peer",
    "offer 27 delivered",
    "send 43 stored",
    "delivered 29 handled",
    "send 48 bad_field",
    "other 17 ignored",
    "ping 15 handled",
    "other 6 malformed",
  ]);
  const [join] = journal(server, "join");
  for (const line of lines) {
    expect(line).toMatchObject({
      level: "trace",
      room,
      side: "A",
      connection: join?.["connection"],
    });
  }
  expect(server.logLines.join("")).not.toContain("secret");
});

test("a frame that is not used leaves a line with its fault, of clients that hear of it or not", async () => {
  await using server = await testServer();
  for (const v2 of [true, false]) {
    await using a = await TestClient.open(server.ws, crypto.randomUUID(), "A", { v2 });
    for (const frame of ["{", { type: "hello", deliveredUpTo: "x" }, { type: "y" }]) a.send(frame);
    await a.settled();
  }
  const told = journal(server, "frame refused").map(({ code, detail }) => `${code}: ${detail}`);
  expect(told).toEqual([...told.slice(0, 3), ...told.slice(0, 3)]);
  expect(told[0]).toStartWith("bad_json: A frame must be one JSON object");
  expect(told[1]).toStartWith("bad_field: hello: deliveredUpTo ");
  expect(told[2]).toStartWith("unknown_type: The type must be one of offer, ");
});

test("a refused upgrade tells why and whom", async () => {
  await using server = await testServer({
    CORS_ORIGINS: "https://app.example",
    SOCKETS_PER_CLIENT: "1",
    MAX_SOCKETS: "2",
  });
  const target = () => `/ws?appID=${crypto.randomUUID()}&side=A`;
  const from = (localAddress: string) => ({ ...upgradeRequest(target()), localAddress });
  await using _one = await RawClient.open(server.ws);
  await rawRequest(server.http, from("127.0.0.1"));
  await using _two = await RawClient.open(server.ws, { localAddress: "127.0.1.2" });
  for (const request of [
    from("127.0.2.3"),
    { target: target() },
    upgradeRequest("/ws?side=A"),
    upgradeRequest(target(), { origin: "https://evil.example" }),
  ]) {
    await rawRequest(server.http, request);
  }
  const told = journal(server, "refused");
  expect(told.map(({ route, code, client }) => `${route} ${code} ${client}`)).toEqual([
    "/ws too_many_sockets 127.0.0.0/24",
    "/ws sockets_full 127.0.2.0/24",
    "/ws upgrade_required 127.0.0.0/24",
    "/ws malformed 127.0.0.0/24",
    "/ws origin_refused 127.0.0.0/24",
  ]);
  expect(told[3]?.["detail"]).toBe("appID must be a UUID.");
});

test("each leave tells its own reason", async () => {
  await using server = await testServer({ HEARTBEAT: "150ms" });
  await using replaced = await TestClient.open(server.ws, crypto.randomUUID(), "A", { sid: "s" });
  const appId = new URL(replaced.socket.url).searchParams.get("appID") as string;
  await using heir = await TestClient.open(server.ws, appId, "A", { sid: "s" });
  heir.send({ type: "hello" });
  await replaced.closed;
  await using broken = await RawClient.open(server.ws);
  broken.sendRaw(Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]));
  await broken.ended;
  await using dead = await RawClient.open(server.ws, { autoPong: false });
  await dead.ended;
  await using left = await RawClient.open(server.ws);
  left.sendClose();
  await left.ended;
  await heir.settled();
  await server.stop();
  const reasons = journal(server, "leave").map(({ why }) => why);
  expect(reasons).toEqual(["replaced", "protocol", "dead", "client", "shutdown"]);
});

test("a refused origin is warned of once a minute, also above debug", async () => {
  await using server = await testServer({ LOG_LEVEL: "warn", CORS_ORIGINS: "https://app.example" });
  const origin = "https://evil.example";
  for (const path of ["/healthz", "/ws?side=A", "/nowhere", "/healthz"]) {
    expect((await fetch(server.http + path, { headers: { origin } })).status).toBe(403);
  }
  expect(server.logLines.map((line) => JSON.parse(line) as LogLine)).toEqual([
    {
      time: expect.any(String),
      level: "warn",
      msg: expect.stringContaining("CORS_ORIGINS"),
      origin,
    },
  ]);
});

test("above debug no line grows with the traffic", async () => {
  await using program = await Program.start({ LOG_LEVEL: "info" });
  const url = await program.listening();
  await using _pair = await openPair({ ws: `ws://${url.host}` });
  await rawRequest(url.href, upgradeRequest("/ws"));
  program.signal("SIGTERM");
  await program.exit();
  const told = program.log().map(({ msg }) => msg);
  for (const msg of ["join", "paired", "leave", "refused"]) expect(told).not.toContain(msg);
});

test("a refused request is told by its id, route and problem, never by its path", async () => {
  await using server = await testServer({ LOG_LEVEL: "debug" });
  await server.redeem("13572468");
  await fetch(`${server.http}/rendezvous/redeem/13572468`, {
    headers: { "x-request-id": "from-the-proxy-7" },
  });
  await fetch(`${server.http}/rendezvous/code?code=13572468`);
  const told = journal(server, "refused");
  expect(told.map(({ method, route, status, code }) => [method, route, status, code])).toEqual([
    ["POST", "/rendezvous/redeem", 410, "code_gone"],
    ["GET", undefined, 404, "not_found"],
    ["GET", "/rendezvous/code", 405, "method_not_allowed"],
  ]);
  expect(told[0]).toHaveProperty("request");
  expect(told[1]).toMatchObject({ request: "from-the-proxy-7" });
  expect(server.logLines.join("")).not.toContain("13572468");
});
