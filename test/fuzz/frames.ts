import { frameTypes } from "../../src/protocol/frames.ts";
import type { Chance } from "../support/chance.ts";
import { opcodes } from "../support/raw-client.ts";
import { anyValue, broken, nested, object } from "./json.ts";

/** One thing that a client may do to its socket. */
export interface FrameCase {
  readonly what: string;
  readonly bytes: Buffer;
  /** No connection survives it: what is sent afterwards is not read. */
  readonly last: boolean;
}

/** As the server under test is set up: one more is too much. */
export const wsMaxMsgBytes = 262_144;

const types = [...frameTypes, "OFFER", "Send", "x"];
const fields: Readonly<Record<string, readonly string[]>> = {
  hello: ["deliveredUpTo", "sessionId", "side"],
  send: ["to", "payload", "id"],
  delivered: ["upTo", "seq"],
  telemetry: ["event", "mode", "reason"],
  offer: ["sdp", "id"],
  mint: ["ttl", "sid"],
  redeem: ["code", "sid"],
  join: ["appID", "side", "sid"],
};
const sane: Readonly<Record<string, readonly string[]>> = {
  to: ['"A"', '"B"', '"a"', '"b"'],
  payload: ['"mail"', '{"n":1.50}'],
  id: ['"one"', '"two"'],
  upTo: ["1", "5", "100", "1000000"],
  seq: ["1", "5"],
  deliveredUpTo: ["0", "1", "7"],
  event: ['"ice-connected"', '"ice-failed"'],
  mode: ['"relay"', '"direct"'],
  reason: ['"timeout"'],
  ttl: ["60", "0", "-1", "1e300"],
  sid: ['"one"', '"two"'],
  code: ['"0000"', '"12345678"', '"12"'],
  appID: ['"0b1d7c1e-3f5a-4d6b-8c9d-2e4f6a8b0c1d"', '"{0B1D7C1E3F5A4D6B8C9D2E4F6A8B0C1D}"'],
  side: ['"A"', '"b"', '"C"'],
  sdp: ['"v=0"', '{"type":"offer","sdp":"v=0"}'],
};

/** One in 300 ends its connection. */
export function frameCase(chance: Chance): FrameCase {
  if (chance.oneIn(300)) return fatal(chance);
  const kind = chance.below(40);
  if (kind < 26) return text("a frame", message(chance));
  if (kind < 30) return text("broken JSON", broken(chance, message(chance)));
  if (kind < 32) return text("JSON of any kind", anyValue(chance));
  if (kind < 34) return frame("random bytes", opcodes.binary, chance.bytes(chance.below(64)));
  if (kind < 35) return frame("a binary frame", opcodes.binary, Buffer.from(message(chance)));
  if (kind < 37) return control(chance);
  if (kind < 39) return fragmented(chance);
  if (chance.oneIn(25)) return text("deep nesting", deep(chance));
  if (chance.oneIn(50)) return text("a long frame", long(chance));
  return text("an empty frame", "");
}

function message(chance: Chance): string {
  const type = chance.pick(types);
  const members: (readonly [string, string])[] = [];
  const typeText = chance.oneIn(20) ? anyValue(chance) : `"${type}"`;
  for (const field of fields[type.toLowerCase()] ?? ["cand", "candidate"]) {
    if (chance.oneIn(5)) continue;
    const value = chance.oneIn(2) ? anyValue(chance) : chance.pick(sane[field] ?? ["null", "1"]);
    members.push([field, value]);
    if (chance.oneIn(20)) members.push([field, anyValue(chance)]);
  }
  members.splice(chance.below(members.length + 1), 0, ["type", typeText]);
  if (chance.oneIn(10)) members.push([chance.pick(["__proto__", "type", "x"]), anyValue(chance)]);
  return object(members);
}

function deep(chance: Chance): string {
  const brackets = nested(chance);
  const type = chance.pick(types);
  return chance.pick([
    brackets,
    `{"type":${brackets}}`,
    `{"type":"${type}","to":"A","payload":${brackets}}`,
    `{"x":${brackets},"type":"${type}"}`,
  ]);
}

function long(chance: Chance): string {
  const filler = "x".repeat(wsMaxMsgBytes - 100 - chance.below(1_000));
  return chance.pick([
    `{"type":"${chance.pick(types)}","to":"B","payload":"${filler}"}`,
    `{"type":"${filler}"}`,
    `{"${filler}":1}`,
    filler,
  ]);
}

function control(chance: Chance): FrameCase {
  const opcode = chance.pick([opcodes.ping, opcodes.pong]);
  return frame("a control frame", opcode, chance.bytes(chance.below(126)));
}

/** A message in parts, with control frames in between (RFC 6455 section 5.4). */
function fragmented(chance: Chance): FrameCase {
  const opcode = chance.pick([opcodes.text, opcodes.binary]);
  const whole = Buffer.from(message(chance));
  const frames: Buffer[] = [];
  const parts = 1 + chance.below(5);
  for (let part = 0; part < parts; part++) {
    const [from, to] = [part, part + 1].map((n) => Math.floor((whole.length * n) / parts));
    const first = part === 0 ? opcode : opcodes.continuation;
    frames.push(encoded(first, whole.subarray(from, to), part === parts - 1));
    if (part < parts - 1 && chance.oneIn(2)) {
      frames.push(encoded(chance.pick([opcodes.ping, opcodes.pong]), chance.bytes(5)));
    }
  }
  return { what: "a message in parts", bytes: Buffer.concat(frames), last: false };
}

/** What breaks the protocol, and what ends it. */
function fatal(chance: Chance): FrameCase {
  const payload = Buffer.from(message(chance));
  const fatals: readonly (readonly [what: string, bytes: () => Buffer])[] = [
    ["a frame without a mask", () => unmasked(opcodes.text, payload)],
    ["a reserved opcode", () => encoded(chance.pick([3, 4, 5, 6, 7, 11, 12, 13, 14, 15]), payload)],
    ["a reserved bit", () => flagged(payload, chance.pick([0x40, 0x20, 0x10, 0x70]))],
    ["a frame too long", () => header(opcodes.text, wsMaxMsgBytes + 1 + chance.below(1_000_000))],
    ["a length of 2⁶³", () => Buffer.from([0x81, 0xff, 0x80, ...new Array<number>(11).fill(0)])],
    ["a control frame in parts", () => encoded(opcodes.ping, payload.subarray(0, 5), false)],
    ["a control frame too long", () => encoded(opcodes.ping, Buffer.alloc(126))],
    ["text that is no UTF-8", () => encoded(opcodes.text, Buffer.from([0x22, 0xc3, 0x28, 0x22]))],
    ["a continuation of nothing", () => encoded(opcodes.continuation, payload)],
    ["a new message within another", () => twice(payload)],
    ["parts that are too long together", () => tooLongInParts()],
    ["a close with half a code", () => encoded(opcodes.close, Buffer.from([3]))],
    ["a close with a reserved code", () => encoded(opcodes.close, Buffer.from([3, 0xed]))],
    ["a close with noise", () => encoded(opcodes.close, chance.bytes(2 + chance.below(123)))],
    ["a close without a code", () => encoded(opcodes.close, Buffer.alloc(0))],
    ["half a frame", () => encoded(opcodes.text, payload).subarray(0, 3 + chance.below(8))],
    ["noise", () => chance.bytes(1 + chance.below(2_000))],
    ["an HTTP request", () => Buffer.from("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")],
  ];
  const [what, bytes] = chance.pick(fatals);
  return { what, bytes: bytes(), last: true };
}

// ---- bytes ----

function text(what: string, content: string): FrameCase {
  // Lone surrogates of a generated text become U+FFFD here: text frames must hold UTF-8.
  return frame(what, opcodes.text, Buffer.from(content));
}

function frame(what: string, opcode: number, payload: Uint8Array): FrameCase {
  return { what, bytes: encoded(opcode, payload), last: false };
}

/** A frame whose masking key is 0: valid, and nothing to compute. */
function encoded(opcode: number, payload: Uint8Array, fin = true): Buffer {
  return Buffer.concat([header(opcode, payload.length, fin), payload]);
}

function header(opcode: number, length: number, fin = true): Buffer {
  const lengthBytes = length < 126 ? 0 : length < 65_536 ? 2 : 8;
  const head = Buffer.alloc(2 + lengthBytes + 4);
  head[0] = (fin ? 0x80 : 0) | opcode;
  head[1] = 0x80 | (lengthBytes === 0 ? length : lengthBytes === 2 ? 126 : 127);
  if (lengthBytes === 2) head.writeUInt16BE(length, 2);
  if (lengthBytes === 8) head.writeBigUInt64BE(BigInt(length), 2);
  return head;
}

function unmasked(opcode: number, payload: Uint8Array): Buffer {
  const short = payload.subarray(0, 125);
  return Buffer.concat([Buffer.from([0x80 | opcode, short.length]), short]);
}

function flagged(payload: Uint8Array, bits: number): Buffer {
  const bytes = encoded(opcodes.text, payload);
  bytes[0] = (bytes[0] ?? 0) | bits;
  return bytes;
}

function twice(payload: Uint8Array): Buffer {
  return Buffer.concat([encoded(opcodes.text, payload, false), encoded(opcodes.text, payload)]);
}

function tooLongInParts(): Buffer {
  const half = Buffer.alloc(wsMaxMsgBytes / 2 + 1, "x");
  return Buffer.concat([
    encoded(opcodes.text, half, false),
    encoded(opcodes.continuation, half, false),
    encoded(opcodes.continuation, half),
  ]);
}
