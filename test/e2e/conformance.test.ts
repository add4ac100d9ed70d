import { afterAll, beforeAll, expect, test } from "bun:test";
import { Program } from "../support/program.ts";
import { encodeFrame, opcodes, RawClient } from "../support/raw-client.ts";
import { within } from "../support/waiting.ts";

// RFC 6455 at this server's limits: what it must take, what it must refuse, and by which code.

const limit = 2_048;
let program: Program;
let ws: string;

beforeAll(async () => {
  program = await Program.start({ WS_MAX_MSG: String(limit), FRAMES_PER_SEC: "1000000" });
  ws = `ws://${(await program.listening()).host}`;
});
afterAll(() => program[Symbol.asyncDispose]());

interface Room extends AsyncDisposable {
  readonly a: RawClient;
  readonly b: RawClient;
}

/** Both sides are in, and have heard so. */
async function openRoom(): Promise<Room> {
  const appId = crypto.randomUUID();
  const a = await RawClient.open(ws, { appId, side: "A" });
  const b = await RawClient.open(ws, { appId, side: "B" });
  for (const peer of [a, b]) await peer.nextText();
  return {
    a,
    b,
    async [Symbol.asyncDispose]() {
      await a[Symbol.asyncDispose]();
      await b[Symbol.asyncDispose]();
    },
  };
}

const { text, binary, continuation, close, ping, pong } = opcodes;
const bytes = (...values: number[]) => Buffer.from(values);

/** A frame to relay of so many bytes. */
function ice(size: number, filler = "x"): Buffer {
  const [head, tail] = ['{"type":"ice","candidate":"', '"}'];
  const frame = Buffer.alloc(size, filler);
  frame.write(head);
  frame.write(tail, size - tail.length);
  return frame;
}

const whole = ice(100);
const [first, second, third] = [whole.subarray(0, 40), whole.subarray(40, 70), whole.subarray(70)];
/** é begins in one part and ends in the next. */
const accented = Buffer.from('{"type":"ice","candidate":"é"}');
const inAccent = accented.indexOf(0xc3) + 1;

// ---- what has to be taken ----

type Act = (peer: RawClient) => void | Promise<void>;

test.each<[what: string, act: Act, relayed: readonly Buffer[]]>([
  ["a frame as long as allowed", (a) => a.sendFrame(text, ice(limit)), [ice(limit)]],
  [
    "parts that are as long as allowed together",
    (a) => a.sendFragmented(text, [ice(limit).subarray(0, 1_000), ice(limit).subarray(1_000)]),
    [ice(limit)],
  ],
  ["a message in three parts", (a) => a.sendFragmented(text, [first, second, third]), [whole]],
  [
    "control frames between the parts",
    (a) => {
      a.sendFrame(text, first, false);
      a.sendFrame(ping, Buffer.from("between"));
      a.sendFrame(continuation, second, false);
      a.sendFrame(pong, Buffer.from("unasked"));
      a.sendFrame(continuation, third);
    },
    [whole],
  ],
  [
    "parts without a byte, first, between and last",
    (a) => a.sendFragmented(text, [bytes(), first, bytes(), second, third, bytes()]),
    [whole],
  ],
  [
    "a character that is cut by a part's end",
    (a) => a.sendFragmented(text, [accented.subarray(0, inAccent), accented.subarray(inAccent)]),
    [accented],
  ],
  ["a pong that nobody asked for", (a) => a.sendFrame(pong, bytes(1, 2, 3)), []],
  ["an empty ping", (a) => a.sendFrame(ping), []],
  ["a text frame without a byte", (a) => a.sendFrame(text), []],
  ["a message of empty parts", (a) => a.sendFragmented(text, [bytes(), bytes()]), []],
  ["a binary frame that holds JSON", (a) => a.sendFrame(binary, whole), [whole]],
  ["a binary frame that holds no UTF-8", (a) => a.sendFrame(binary, bytes(0xc3, 0x28)), []],
  [
    "a frame that comes byte by byte",
    async (a) => {
      for (const byte of encodeFrame(text, whole)) {
        a.sendRaw(bytes(byte));
        await a.flushed();
      }
    },
    [whole],
  ],
  [
    "a hundred frames in one write",
    (a) => a.sendRaw(Buffer.concat(Array.from({ length: 100 }, () => encodeFrame(text, whole)))),
    Array.from({ length: 100 }, () => whole),
  ],
])("it takes %s", async (_, act, relayed) => {
  await using room = await openRoom();
  const { a, b } = room;
  await act(a);
  for (const frame of relayed) {
    expect(await b.next()).toEqual({ opcode: text, fin: true, payload: frame });
  }
  for (const peer of [a, b]) expect(await peer.settled()).toEqual([]);
});

/** What comes next, as it is on the wire. */
function nextBytes({ socket }: RawClient): Promise<Buffer> {
  return within("bytes", new Promise((resolve) => socket.once("data", resolve)));
}

test.each([0, 1, 125])("it answers a ping of %d bytes with the same bytes", async (size) => {
  await using room = await openRoom();
  const payload = Buffer.alloc(size, "p");
  const answer = nextBytes(room.a);
  room.a.sendFrame(ping, payload);
  expect(await answer).toEqual(Buffer.concat([bytes(0x80 | pong, size), payload]));
});

// ---- what has to be refused ----

/** The length in 64 bits, whatever it is. */
function longHead(opcode: number, length: bigint): Buffer {
  const head = Buffer.alloc(14);
  head[0] = 0x80 | opcode;
  head[1] = 0xff;
  head.writeBigUInt64BE(length, 2);
  return head;
}

const flagged = (bits: number) => {
  const frame = encodeFrame(text, whole);
  frame[0] = (frame[0] as number) | bits;
  return frame;
};
const closing = (code: number, reason: Uint8Array = bytes()) =>
  Buffer.concat([bytes(code >> 8, code & 0xff), reason]);

test.each<[what: string, code: number, act: Act]>([
  ["a frame a byte too long", 1009, (a) => a.sendFrame(text, ice(limit + 1))],
  [
    "parts that are too long together",
    1009,
    (a) => a.sendFragmented(text, [ice(limit), bytes(0x20)]),
  ],
  [
    "parts of one byte that add up past the limit",
    1009,
    (a) =>
      a.sendFragmented(
        text,
        Array.from({ length: limit + 1 }, () => bytes(0x20)),
      ),
  ],
  ["the mere announcement of 1 GB", 1009, (a) => a.sendRaw(longHead(text, 1n << 30n))],
  ["a length of 2⁶³", 1009, (a) => a.sendRaw(longHead(text, 1n << 63n))],
  ["a length of 2⁶⁴ - 1", 1009, (a) => a.sendRaw(longHead(text, (1n << 64n) - 1n))],
  ["the first reserved bit", 1002, (a) => a.sendRaw(flagged(0x40))],
  ["the second reserved bit", 1002, (a) => a.sendRaw(flagged(0x20))],
  ["the third reserved bit", 1002, (a) => a.sendRaw(flagged(0x10))],
  ["reserved opcode 3", 1002, (a) => a.sendFrame(3, whole)],
  ["reserved opcode 7", 1002, (a) => a.sendFrame(7, whole)],
  ["reserved control opcode 11", 1002, (a) => a.sendFrame(11)],
  ["reserved control opcode 15", 1002, (a) => a.sendFrame(15)],
  ["a frame without a mask", 1002, (a) => a.sendRaw(Buffer.concat([bytes(0x81, 100), whole]))],
  ["a ping in parts", 1002, (a) => a.sendFrame(ping, bytes(1), false)],
  ["a ping of 126 bytes", 1002, (a) => a.sendFrame(ping, Buffer.alloc(126))],
  ["a close of 126 bytes", 1002, (a) => a.sendFrame(close, closing(1000, Buffer.alloc(124, "x")))],
  ["a continuation of nothing", 1002, (a) => a.sendFrame(continuation, whole)],
  [
    "a continuation after the last part",
    1002,
    (a) => {
      a.sendFragmented(text, [first, Buffer.concat([second, third])]);
      a.sendFrame(continuation, whole);
    },
  ],
  [
    "text in the midst of text",
    1002,
    (a) => {
      a.sendFrame(text, first, false);
      a.sendFrame(text, whole);
    },
  ],
  [
    "binary in the midst of text",
    1002,
    (a) => {
      a.sendFrame(text, first, false);
      a.sendFrame(binary, Buffer.concat([second, third]));
    },
  ],
  ["text that is no UTF-8", 1007, (a) => a.sendFrame(text, bytes(0x22, 0xc3, 0x28, 0x22))],
  ["text that ends in half a character", 1007, (a) => a.sendFrame(text, bytes(0x22, 0xc3))],
  ["a surrogate in UTF-8", 1007, (a) => a.sendFrame(text, bytes(0xed, 0xa0, 0x80))],
  [
    "parts that are no UTF-8 together",
    1007,
    (a) => a.sendFragmented(text, [bytes(0x22, 0xc3), bytes(0x28, 0x22)]),
  ],
  ["a close with half a code", 1002, (a) => a.sendFrame(close, bytes(3))],
  ...[0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000].map((code): [string, number, Act] => [
    `a close with code ${code}`,
    1002,
    (a) => a.sendFrame(close, closing(code)),
  ]),
  [
    "a close whose reason is no UTF-8",
    1007,
    (a) => a.sendFrame(close, closing(1000, bytes(0xc3, 0x28))),
  ],
])("it refuses %s with %d, and its peer is served on", async (_, code, act) => {
  await using room = await openRoom();
  const { a, b } = room;
  await act(a);
  expect((await a.ended).code).toBe(code);
  expect((await b.settled()).filter((frame) => frame !== whole.toString())).toEqual([]);
});

// ---- closing ----

test.each([1000, 1001, 1003, 1011, 3000, 4999])(
  "a client that closes with %d gets the same code back",
  async (code) => {
    await using room = await openRoom();
    room.a.sendClose(code, "bye");
    expect((await room.a.ended).code).toBe(code);
  },
);

test("a client that closes without a code gets a close", async () => {
  await using room = await openRoom();
  const answer = nextBytes(room.a);
  room.a.sendFrame(close);
  expect((await answer)[0]).toBe(0x80 | close);
  await room.a.ended;
});

test("what follows a close is not relayed", async () => {
  await using room = await openRoom();
  const closeThenMore = [encodeFrame(close, closing(1000)), encodeFrame(text, whole)];
  room.a.sendRaw(Buffer.concat(closeThenMore));
  await room.a.ended;
  expect(await room.b.settled()).toEqual([]);
});

test("the server's own close is answered, and the connection ends", async () => {
  const appId = crypto.randomUUID();
  await using old = await RawClient.open(ws, { appId, sid: "same" });
  await using fresh = await RawClient.open(ws, { appId, sid: "same" });
  fresh.send('{"type":"hello"}');
  expect(await old.ended).toEqual({ code: 1000, reason: "replaced" });
});

test("a ping behind frames that are held back is answered once they are read", async () => {
  await using room = await openRoom();
  const { a, b } = room;
  b.pause();
  const count = 4_000;
  const frames = Array.from({ length: count }, () => encodeFrame(text, ice(limit)));
  a.sendRaw(Buffer.concat(frames));
  const answered = a.settled();
  b.resume();
  for (let n = 0; n < count; n++) expect((await b.next()).payload.length).toBe(limit);
  expect(await answered).toEqual([]);
});
