import { expect, test } from "bun:test";
import { openPair, TestClient } from "../support/client.ts";
import { testServer } from "../support/server.ts";

test("a v1 client gets the documented frames and no other, whatever happens", async () => {
  await using server = await testServer();
  const appId = crypto.randomUUID();
  await using v1 = await TestClient.open(server.ws, appId, "A");
  const heard: string[] = [];
  const hear = async () => {
    for (const frame of await v1.settled()) heard.push(JSON.stringify(frame));
  };

  for (const frame of [
    "no JSON",
    "[]",
    { type: "telemetry", event: "ice-connected", mode: 3 },
    { type: "telemetry", event: "ice-failed" },
    { type: "who knows" },
    { type: "ping" },
    { type: "offer", sdp: "for nobody" },
    { type: "send", to: "C", payload: "x" },
    { type: "send", to: "B" },
    { type: "send", to: "B", payload: "kept", id: "v1 has no ids" },
    { type: "delivered", upTo: -1 },
    { type: "hello", deliveredUpTo: "0" },
    { type: "hello", side: "A" },
  ]) {
    v1.send(frame);
  }
  await hear();
  expect(heard).toEqual([]);

  const v2 = await TestClient.open(server.ws, appId, "B", { v2: true });
  v2.send("no JSON");
  v2.send({ type: "offer" });
  v2.send({ type: "send", to: "A", payload: "mail", id: "1" });
  await v2.settled();
  await v2.close();
  await hear();
  v1.send({ type: "delivered", upTo: 1 });
  await using back = await TestClient.open(server.ws, appId, "B", { v2: true });
  await back.settled();
  await hear();

  expect(heard).toEqual([
    '{"type":"room_full"}',
    '{"type":"offer"}',
    '{"type":"send","seq":1,"from":"B","payload":"mail"}',
    '{"type":"room_full"}',
  ]);
});

test("a client with a sid, be it empty, gets its mail as deliver, one without as send", async () => {
  await using server = await testServer();
  await using pair = await openPair(server, { b: { sid: "" } });
  pair.a.send({ type: "send", to: "B", payload: "1" });
  pair.b.send({ type: "send", to: "A", payload: "2" });
  pair.b.send({ type: "hello", deliveredUpTo: 0 });
  expect(await pair.b.nextText()).toBe('{"type":"deliver","seq":1,"from":"A","payload":"1"}');
  expect(await pair.a.nextText()).toBe('{"type":"send","seq":1,"from":"B","payload":"2"}');
});

test("bad JSON leaves a v1 client's socket open and silent", async () => {
  await using server = await testServer();
  await using pair = await openPair(server);
  pair.a.send("{");
  expect(await pair.a.settled()).toEqual([]);
  pair.a.send({ type: "ice" });
  expect(await pair.b.next()).toEqual({ type: "ice" });
});

test("a v2 client is welcomed and hears its peer come and go", async () => {
  await using server = await testServer({ HEARTBEAT: "7s", WS_MAX_MSG: "5000" });
  const appId = crypto.randomUUID();
  const room = expect.stringMatching(/^[0-9a-f]{10}$/);
  const welcome = { type: "welcome", heartbeatMs: 7_000, maxMessageBytes: 5_000, room };
  await using a = await TestClient.open(server.ws, appId, "a", { v2: true });
  expect(a.socket.protocol).toBe("nt.v2");
  expect(await a.next()).toEqual({ ...welcome, side: "A", peer: false });

  const b = await TestClient.open(server.ws, appId, "B", { v2: true });
  expect(await b.next()).toEqual({ ...welcome, side: "B", peer: true });
  for (const peer of [a, b]) {
    expect(await peer.next()).toEqual({ type: "room_full" });
    expect(await peer.next()).toEqual({ type: "peer_joined" });
  }
  await b.close();
  expect(await a.next()).toEqual({ type: "peer_left" });
  expect(await a.settled()).toEqual([]);
});

test.each([
  ["bad_json", "{", "JSON object"],
  ["bad_json", "[]", "JSON object"],
  ["bad_json", "", "JSON object"],
  ["bad_field", { type: "send", to: "C", payload: "" }, "send: to must be A or B."],
  ["bad_field", { type: "send", to: "B" }, "send: payload is missing."],
  [
    "bad_field",
    { type: "send", to: "B", payload: 1, id: "x".repeat(65) },
    "send: id must have 1 to 64 characters.",
  ],
  ["bad_field", { type: "send", to: "B", payload: 1, id: 7 }, "send: id must be a string."],
  ["bad_field", { type: "send", to: "B", payload: 1, id: "" }, "send: id must have 1 to 64 char"],
  // Two of them would be one id where text is kept as UTF-8.
  ["bad_field", { type: "send", to: "B", payload: 1, id: "x\ud800" }, "id must be well-formed"],
  ["bad_field", { type: "delivered" }, "delivered: upTo is missing."],
  ["bad_field", { type: "delivered", upTo: 1.5 }, "delivered: upTo must be a whole number."],
  ["bad_field", { type: "delivered", upTo: 2 ** 53 }, "delivered: upTo must be"],
  ["bad_field", { type: "hello", deliveredUpTo: "1" }, "hello: deliveredUpTo must be"],
  ["bad_field", { type: "hello", deliveredUpTo: -1 }, "hello: deliveredUpTo must be 0 or more."],
  [
    "bad_field",
    { type: "hello", deliveredUpTo: 2 ** 53 - 1 },
    "hello: deliveredUpTo must be at most 2^53 - 2^32.",
  ],
  ["bad_field", { type: "telemetry", event: 3 }, "telemetry: event must be a string."],
  ["bad_field", { type: "telemetry", event: "e", mode: 1 }, "telemetry: mode must be a string."],
  ["peer_absent", { type: "offer" }, "offer"],
])("a v2 client is told %s for %j", async (code, frame, named) => {
  await using server = await testServer();
  await using a = await TestClient.open(server.ws, crypto.randomUUID(), "A", { v2: true });
  await a.nextOf("welcome");
  a.send(frame);
  expect(await a.settled()).toMatchObject([
    { type: "error", code, detail: expect.stringContaining(named) },
  ]);
});

test("whatever the protocol allows is taken, and mail's payload comes exactly as it was written", async () => {
  await using server = await testServer();
  await using pair = await openPair(server, { a: { v2: true } });
  pair.b.send({ type: "hello", deliveredUpTo: 2 ** 53 - 2 ** 32 });
  await pair.b.settled();
  const payloads = ['"x"', '""', '"\\u00e9"', "1e400", '{ "a" : 1 }', "[]", "null", "false", "0"];
  for (const [i, payload] of payloads.entries()) {
    const [to, id] = i % 2 ? ["b", `${"y".repeat(63)}${i}`] : ["B", `\u{1f511}${i}`];
    pair.a.send(`{"type":"SEND","to":"${to}","id":"${id}","payload":${payload}}`);
  }
  expect((await pair.a.settled()).map(({ type }) => type)).toEqual(payloads.map(() => "stored"));
  for (const payload of payloads) {
    expect(await pair.b.nextText()).toEndWith(`,"from":"A","payload":${payload}}`);
  }
  for (const frame of [{ seq: 9 }, { upTo: 2 ** 53 - 1 }])
    pair.a.send({ type: "delivered", ...frame });
  pair.a.send({ type: "telemetry", event: "ice-connected", mode: "relay", reason: "any" });
  expect(await pair.a.settled()).toEqual([]);
});

test("a v2 client is told bad_json for bytes that are no UTF-8", async () => {
  await using server = await testServer();
  await using a = await TestClient.open(server.ws, crypto.randomUUID(), "A", { v2: true });
  await a.nextOf("welcome");
  a.socket.send(new Uint8Array([0x7b, 0xff, 0x7d]));
  expect(await a.settled()).toEqual([
    { type: "error", code: "bad_json", detail: expect.stringContaining("JSON object") },
  ]);
});

test("an error names the id of the send it is about", async () => {
  await using server = await testServer();
  await using a = await TestClient.open(server.ws, crypto.randomUUID(), "A", { v2: true });
  await a.nextOf("welcome");
  a.send({ type: "send", to: "nobody", payload: "x", id: "m1" });
  expect(await a.next()).toMatchObject({ type: "error", code: "bad_field", id: "m1" });
});

test.each([[{ type: "candidate" }], [{ type: 7 }], [{}]])(
  "a v2 client learns that %j has no known type; the other side hears nothing",
  async (frame) => {
    await using server = await testServer();
    await using pair = await openPair(server, { a: { v2: true } });
    pair.a.send(frame);
    expect(await pair.a.settled()).toEqual([
      { type: "error", code: "unknown_type", detail: expect.stringContaining("ice") },
    ]);
    expect(await pair.b.settled()).toEqual([]);
  },
);

test("a v2 client that pings hears a pong each time, in order with the rest, and nobody else does", async () => {
  await using server = await testServer();
  await using pair = await openPair(server, { a: { v2: true } });
  pair.a.send({ type: "ping" });
  pair.a.send({ type: "send", to: "B", payload: 1, id: "m" });
  pair.a.send({ type: "PING", id: "whatever" });
  expect(await pair.a.settled()).toEqual([
    { type: "pong" },
    { type: "stored", id: "m", seq: 1 },
    { type: "pong" },
  ]);
  expect(await pair.b.settled()).toEqual([{ type: "send", seq: 1, from: "A", payload: 1 }]);
});

test("a send with an id is stored once and answered each time", async () => {
  await using server = await testServer();
  await using pair = await openPair(server, { a: { v2: true } });
  pair.b.send({ type: "hello" });
  await pair.b.settled();
  const mail = { type: "send", to: "B", payload: "once", id: "m1" };
  pair.a.send(mail);
  pair.a.send(mail);
  pair.a.send({ ...mail, id: "m2", payload: "other" });
  expect(await pair.a.next()).toEqual({ type: "stored", id: "m1", seq: 1 });
  expect(await pair.a.next()).toEqual({ type: "stored", id: "m1", seq: 1 });
  expect(await pair.a.next()).toEqual({ type: "stored", id: "m2", seq: 2 });
  expect(await pair.b.settled()).toEqual([
    { type: "send", seq: 1, from: "A", payload: "once" },
    { type: "send", seq: 2, from: "A", payload: "other" },
  ]);
});
