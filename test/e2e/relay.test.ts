import { expect, test } from "bun:test";
import { relayTypes } from "../../src/protocol/frames.ts";
import { openPair } from "../support/client.ts";
import { opcodes, RawClient } from "../support/raw-client.ts";
import { testServer } from "../support/server.ts";

test.each([
  ["odd whitespace", ' \n\t{ "type" :\r\n"offer" , "sdp":   "v=0"  }\n '],
  ["numbers no double can hold", '{"type":"ice","n":12345678901234567890.10,"e":1e999,"z":-0}'],
  ["escapes and unicode", '{"type":"offer","sdp":"\\u0041\\/\\ud83d\\ude00 😀 \u2028 ä \\u0000"}'],
  ["a lone surrogate, escaped", '{"type":"answer","sdp":"\\ud800"}'],
  ["an escaped name", '{"\\u0074ype":"ice","cand":null}'],
  ["a member said twice", '{"type":"offer","a":1,"a":2,"type":"ice"}'],
  ["a name of objects", '{"__proto__":{"type":"x"},"type":"ice","constructor":1}'],
  ["a type in capitals", '{"type":"OFFER","sdp":"v=0"}'],
  ["a type in mixed case", '{"type":"Sender_Ready"}'],
  ["deep nesting", `{"type":"ice","deep":${"[".repeat(500)}${"]".repeat(500)}}`],
])("a frame with %s is relayed byte for byte", async (_, frame) => {
  await using server = await testServer();
  await using pair = await openPair(server);
  pair.a.send(frame);
  expect(await pair.b.nextText()).toBe(frame);
  pair.b.send(frame);
  expect(await pair.a.nextText()).toBe(frame);
});

/** A frame of exactly so many bytes. */
function frameOf(bytes: number): string {
  const frame = '{"type":"offer","sdp":""}';
  return frame.replace('""', `"${"x".repeat(bytes - frame.length)}"`);
}

test("a frame of exactly WS_MAX_MSG bytes is relayed, one byte more closes with 1009", async () => {
  await using server = await testServer();
  await using pair = await openPair(server);
  const largest = frameOf(1_048_576);
  pair.a.send(largest);
  const relayed = await pair.b.nextText();
  expect(relayed.length).toBe(1_048_576);
  expect(relayed === largest).toBe(true);
  pair.a.send(frameOf(1_048_577));
  expect((await pair.a.closed).code).toBe(1009);
  expect(await pair.b.settled()).toEqual([]);
  expect(await server.metric('nt_closes_total{reason="protocol"}')).toBe(1);
});

test("WS_MAX_MSG counts bytes, not characters", async () => {
  await using server = await testServer({ WS_MAX_MSG: "2000" });
  await using pair = await openPair(server);
  pair.a.send(`{"type":"offer","sdp":"${"ä".repeat(987)}"}`);
  expect(await pair.b.next()).toEqual({ type: "offer", sdp: "ä".repeat(987) });
  pair.a.send(`{"type":"offer","sdp":"${"ä".repeat(988)}"}`);
  expect((await pair.a.closed).code).toBe(1009);
});

test("bursts arrive complete and in order, both ways at once", async () => {
  await using server = await testServer();
  await using pair = await openPair(server);
  const burst = (from: string) =>
    Array.from({ length: 1_000 }, (_, n) =>
      JSON.stringify({ n, from, type: relayTypes[n % relayTypes.length] }),
    );
  for (const text of burst("a")) pair.a.send(text);
  for (const text of burst("b")) pair.b.send(text);
  expect(await pair.b.nextTexts(1_000)).toEqual(burst("a"));
  expect(await pair.a.nextTexts(1_000)).toEqual(burst("b"));
});

test("binary frames and fragmented ones that hold JSON arrive as one text frame", async () => {
  await using server = await testServer();
  const appId = crypto.randomUUID();
  await using a = await RawClient.open(server.ws, { appId, side: "A" });
  await using b = await RawClient.open(server.ws, { appId, side: "B" });
  for (const peer of [a, b]) expect(await peer.nextText()).toBe('{"type":"room_full"}');

  const json = Buffer.from('{ "type":"ice", "cand":"ä😀" }');
  a.sendBinary(json);
  const relayed = await b.next();
  expect(relayed).toEqual({ opcode: opcodes.text, fin: true, payload: json });

  // Cut inside of a character.
  const parts = [json.subarray(0, 24), json.subarray(24, 27), json.subarray(27)];
  a.sendFragmented(opcodes.text, parts);
  expect((await b.next()).payload).toEqual(json);
  a.sendFragmented(opcodes.binary, parts);
  expect(await b.next()).toEqual({ opcode: opcodes.text, fin: true, payload: json });
});

test.each([
  ["no JSON", "offer"],
  ["a cut-off object", '{"type":"offer"'],
  ["two objects", '{"type":"offer"}{"type":"ice"}'],
  ["an array", '[{"type":"offer"}]'],
  ["a string", '"offer"'],
  ["null", "null"],
  ["a comment", '{"type":"offer"}//'],
  ["an object behind a byte order mark", '\ufeff{"type":"offer"}'],
  ["NaN", '{"type":"offer","n":NaN}'],
  ["a raw line break in a string", '{"type":"offer","sdp":"\n"}'],
  ["nothing", ""],
  ["an unknown type", '{"type":"restart"}'],
  ["no type", '{"sdp":"v=0"}'],
  ["a type that is no string", '{"type":["offer"]}'],
  ["a type with a space", '{"type":"offer "}'],
  ["a type out of the prototype", '{"type":"constructor"}'],
])("a frame that is or has %s is not relayed, and its sender stays", async (_, text) => {
  await using server = await testServer();
  await using pair = await openPair(server);
  pair.a.send(text);
  pair.a.socket.send(Buffer.from(text));
  pair.a.send({ type: "ice", after: true });
  expect(await pair.b.next()).toEqual({ type: "ice", after: true });
  expect(await pair.b.settled()).toEqual([]);
  expect(await pair.a.settled()).toEqual([]);
  expect(await server.metric('nt_signal_messages_total{type="other"}')).toBe(2);
});

test("invalid UTF-8 in a binary frame is dropped, in a text frame it ends its sender", async () => {
  await using server = await testServer();
  const appId = crypto.randomUUID();
  await using a = await RawClient.open(server.ws, { appId, side: "A" });
  await using b = await RawClient.open(server.ws, { appId, side: "B" });
  for (const peer of [a, b]) expect(await peer.nextText()).toBe('{"type":"room_full"}');

  const bad = Buffer.concat([
    Buffer.from('{"type":"offer","sdp":"'),
    Buffer.from([0xff, 0x22, 0x7d]),
  ]);
  a.sendBinary(bad);
  a.send('{"type":"ice"}');
  expect(await b.nextText()).toBe('{"type":"ice"}');
  expect(await server.metric('nt_drops_total{reason="malformed"}')).toBe(1);
  a.sendFrame(opcodes.text, bad);
  expect((await a.ended).code).toBe(1007);
  expect(await b.settled()).toEqual([]);
});

test("a frame for a side that never came is dropped and counted", async () => {
  await using server = await testServer();
  const appId = crypto.randomUUID();
  await using a = await RawClient.open(server.ws, { appId, side: "A" });
  a.send('{"type":"offer","sdp":"stale"}');
  await a.settled();
  await using b = await RawClient.open(server.ws, { appId, side: "B" });
  expect(await b.nextText()).toBe('{"type":"room_full"}');
  expect(await b.settled()).toEqual([]);
  expect(await server.metric('nt_drops_total{reason="no_peer"}')).toBe(1);
});
