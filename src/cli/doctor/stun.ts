import { createHash, createHmac } from "node:crypto";
import { createSocket } from "node:dgram";
import { type EventEmitter, on } from "node:events";
import { connect as connectTcp, isIP, isIPv6 } from "node:net";
import { connect as connectTls } from "node:tls";
import { type Clock, cryptoRandom } from "../../base/clock.ts";
import type { IceUrl } from "../../config/ice-formats.ts";
import type { Examination } from "./examination.ts";

/** An address, or the code of an error response. Undefined without an answer in time. */
type StunAnswer = { readonly address: string } | { readonly code: number } | undefined;

/** Asks for this machine's address: a Binding request (RFC 8489 section 12). */
export async function bind(url: IceUrl, it: Examination): Promise<StunAnswer> {
  using wire = openWire(url, it.target.insecure);
  return outcomeOf(await ask(wire, message(types.binding, []), it.clock), attributes.xorMapped);
}

/**
 * Asks for a UDP relay with long-term credentials (RFC 8656 section 7, RFC 8489 section 9.2) and
 * gives it back at once.
 */
export async function allocate(
  url: IceUrl,
  it: Examination,
  username: string,
  credential: string,
): Promise<StunAnswer> {
  using wire = openWire(url, it.target.insecure);
  const udpRelay: Attribute = [attributes.requestedTransport, Buffer.of(17, 0, 0, 0)];
  const first = await ask(wire, message(types.allocate, [udpRelay]), it.clock);
  const [realm, nonce] = [first?.get(attributes.realm), first?.get(attributes.nonce)];
  if (realm === undefined || nonce === undefined) return outcomeOf(first, attributes.xorRelayed);

  const key = createHash("md5").update(`${username}:${realm}:${credential}`).digest();
  const user: Attribute = [attributes.username, Buffer.from(username)];
  const askSigned = (type: number, own: Attribute) => {
    const list = [own, user, [attributes.realm, realm], [attributes.nonce, nonce]] as const;
    return ask(wire, message(type, list, key), it.clock);
  };
  const outcome = outcomeOf(await askSigned(types.allocate, udpRelay), attributes.xorRelayed);
  if (outcome !== undefined && "address" in outcome) {
    await askSigned(types.refresh, [attributes.lifetime, Buffer.alloc(4)]);
  }
  return outcome;
}

const types = { binding: 0x0001, allocate: 0x0003, refresh: 0x0004 } as const;

const attributes = {
  username: 0x0006,
  messageIntegrity: 0x0008,
  errorCode: 0x0009,
  lifetime: 0x000d,
  realm: 0x0014,
  nonce: 0x0015,
  xorRelayed: 0x0016,
  requestedTransport: 0x0019,
  xorMapped: 0x0020,
} as const;

type Attribute = readonly [type: number, value: Buffer];
/** The first of each type counts (RFC 8489 section 14). */
type Answer = ReadonlyMap<number, Buffer>;

const headerBytes = 20;
const magicCookie = 0x2112a442;

/** With an id of its own (RFC 8489 section 5), signed if there is a key (sections 9.2.2 and 14.5). */
function message(type: number, list: readonly Attribute[], key?: Buffer): Buffer {
  const body = Buffer.concat(list.map(encoded));
  const header = Buffer.alloc(headerBytes);
  header.writeUInt16BE(type, 0);
  // A signature covers the length that the message has with it: 24 bytes more.
  header.writeUInt16BE(body.length + (key === undefined ? 0 : 24), 2);
  header.writeUInt32BE(magicCookie, 4);
  for (let at = 8; at < headerBytes; at++) header[at] = cryptoRandom(256);
  const text = Buffer.concat([header, body]);
  if (key === undefined) return text;
  const signature = createHmac("sha1", key).update(text).digest();
  return Buffer.concat([text, encoded([attributes.messageIntegrity, signature])]);
}

function encoded([type, value]: Attribute): Buffer {
  const bytes = Buffer.alloc(4 + padded(value.length));
  bytes.writeUInt16BE(type, 0);
  bytes.writeUInt16BE(value.length, 2);
  value.copy(bytes, 4);
  return bytes;
}

function padded(length: number): number {
  return Math.ceil(length / 4) * 4;
}

function outcomeOf(answer: Answer | undefined, wanted: number): StunAnswer {
  const address = answer?.get(wanted);
  if (address !== undefined && address.length >= 8) return { address: readAddress(address) };
  const error = answer?.get(attributes.errorCode);
  if (error === undefined || error.length < 4) return undefined;
  return { code: (error.readUInt8(2) & 7) * 100 + error.readUInt8(3) };
}

/** XOR-MAPPED-ADDRESS (RFC 8489 section 14.2). IPv4 in its usual spelling: relays are IPv4. */
function readAddress(value: Buffer): string {
  if (value.readUInt8(1) !== 1) return "an IPv6 address";
  const cookie = [0x21, 0x12, 0xa4, 0x42];
  return cookie.map((byte, at) => byte ^ value.readUInt8(4 + at)).join(".");
}

/** Undefined unless `bytes` are the whole answer to the request. */
function parseAnswer(bytes: Buffer, request: Buffer): Answer | undefined {
  if (bytes.length < headerBytes || !bytes.subarray(4, 20).equals(request.subarray(4, 20))) {
    return undefined;
  }
  const end = headerBytes + bytes.readUInt16BE(2);
  if (bytes.length < end) return undefined;
  const found = new Map<number, Buffer>();
  for (let at = headerBytes; at + 4 <= end; ) {
    const [type, length] = [bytes.readUInt16BE(at), bytes.readUInt16BE(at + 2)];
    const value = bytes.subarray(at + 4, Math.min(at + 4 + length, end));
    if (!found.has(type)) found.set(type, value);
    at += 4 + padded(length);
  }
  return found;
}

/** How long to wait for one answer. */
const timeoutMs = 5_000;
/** A datagram is sent again this often (RFC 8489 section 6.2.1 waits longer each time). */
const retransmitMs = 500;

/** A connection to the server: datagrams, or a stream of messages that begin with their length. */
interface Wire extends Disposable {
  readonly socket: EventEmitter;
  readonly isUdp: boolean;
  send(bytes: Buffer): void;
}

function openWire({ isSecure, transport, host, port }: IceUrl, insecure: boolean): Wire {
  if (transport === "udp") {
    const socket = createSocket(isIPv6(host) ? "udp6" : "udp4");
    // `ask` handles errors. Without a listener, a later error would end the process.
    socket.on("error", () => {});
    const send = (bytes: Buffer) => socket.send(bytes, port, host);
    return { socket, isUdp: true, send, [Symbol.dispose]: () => socket.close() };
  }
  const name = isIP(host) === 0 ? { servername: host } : {};
  const socket = isSecure
    ? connectTls({ host, port, ...name, rejectUnauthorized: !insecure })
    : connectTcp({ host, port });
  socket.on("error", () => {});
  const send = (bytes: Buffer) => socket.write(bytes);
  return { socket, isUdp: false, send, [Symbol.dispose]: () => socket.destroy() };
}

/** The answer to this request; undefined when it does not come in time. One request at a time. */
async function ask(
  { socket, isUdp, send }: Wire,
  request: Buffer,
  clock: Clock,
): Promise<Answer | undefined> {
  const until = { signal: AbortSignal.timeout(timeoutMs), close: ["close"] };
  const stopSending = isUdp ? clock.every(retransmitMs, () => send(request)) : () => {};
  let received = Buffer.alloc(0);
  try {
    const answers = on(socket, isUdp ? "message" : "data", until);
    send(request);
    for await (const [bytes] of answers) {
      received = isUdp ? bytes : Buffer.concat([received, bytes]);
      const answer = parseAnswer(received, request);
      if (answer !== undefined) return answer;
    }
  } catch {
    // It took too long, or the connection failed.
  } finally {
    stopSending();
  }
  return undefined;
}
