import { createHash, createHmac } from "node:crypto";
import { createSocket } from "node:dgram";
import { connect as connectTcp, isIPv6 } from "node:net";
import { connect as connectTls } from "node:tls";
import { isPrivate } from "../../base/address.ts";
import { type Clock, cryptoRandom } from "../../base/clock.ts";
import type { IceServer } from "./http-steps.ts";
import { type Failed, failed, passed, type Target, type Verdict } from "./target.ts";

/** Whether a STUN server answers with an address, or a TURN server relays, as for a peer. */
export async function servesIce(
  text: string,
  { username, credential }: IceServer,
  target: Target,
  asking: Asking,
): Promise<Verdict> {
  const url = parseIceUrl(text);
  if (url === undefined) return passed(`${text} is not tried`);
  if (!url.isTurn) {
    const answer = await bind(url, asking);
    if (answer.outcome === "address") return passed(`${text} answers with an address`);
    return answer.outcome === "silent" ? silent(text, url) : refused(text, answer.code);
  }
  if (username === undefined || credential === undefined) {
    return failed(`${text} comes without a credential`, "Give it one in ICE_SERVERS.");
  }
  const answer = await allocate(url, { username, credential }, asking);
  if (answer.outcome === "silent") return silent(text, url);
  if (answer.outcome === "refused") return refused(text, answer.code);
  const { address } = answer;
  const isHidden = isPrivate(address) && !isNear(url) && !isNear(target);
  return passed(
    `${text} relays`,
    isHidden
      ? `It relays at ${address}, which cannot be reached from outside: set its public address (coturn: external-ip).`
      : undefined,
  );
}

function isNear({ host }: { readonly host: string }): boolean {
  return host === "localhost" || isPrivate(host);
}

function silent(text: string, { transport, port }: IceUrl): Failed {
  const over = transport === "udp" ? "UDP" : transport === "tcp" ? "TCP" : "TLS over TCP";
  return failed(
    `${text} does not answer`,
    `Is the server running, and is port ${port} open for ${over}?`,
  );
}

function refused(text: string, code: number): Failed {
  const found = `${text} refuses with ${code}`;
  switch (code) {
    case 401:
      return failed(
        found,
        "It does not accept the credentials: TURN_SECRET has to be its secret (coturn: use-auth-secret, static-auth-secret), and both clocks have to be right.",
      );
    case 486:
    case 508:
      return failed(found, "It has reached a quota of its own: see its limits and its log.");
    default:
      return failed(found, "See the log of the STUN or TURN server.");
  }
}

/** Where a STUN or TURN server is asked (RFC 7064, RFC 7065). */
interface IceUrl {
  readonly isTurn: boolean;
  readonly transport: "udp" | "tcp" | "tls";
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
}

/** Undefined for what is no STUN or TURN URL, and for DTLS, which browsers do not speak either. */
function parseIceUrl(text: string): IceUrl | undefined {
  const parts =
    /^(stun|turn)(s?):(\[[0-9a-f:.]+\]|[^:?[\]]+)(?::(\d+))?(?:\?transport=(udp|tcp))?$/i.exec(
      text,
    );
  if (parts === null) return undefined;
  const [, scheme = "", s = "", host = "", port, over] = parts;
  const secure = s !== "";
  if (secure && over?.toLowerCase() === "udp") return undefined;
  return {
    isTurn: scheme.toLowerCase() === "turn",
    transport: secure ? "tls" : over?.toLowerCase() === "tcp" ? "tcp" : "udp",
    host: host.replace(/^\[(.*)\]$/, "$1"),
    port: port === undefined ? (secure ? 5_349 : 3_478) : Number(port),
  };
}

interface Asking {
  readonly clock: Clock;
  /** How long a server has for everything, ms. */
  readonly timeoutMs: number;
  /** An untrusted certificate is accepted. */
  readonly insecure: boolean;
}

interface Credentials {
  readonly username: string;
  readonly credential: string;
}

type StunAnswer =
  /** This machine's address as the server sees it, or the one it relays at. */
  | { readonly outcome: "address"; readonly address: string }
  /** An error of RFC 8489 section 14.8 or RFC 8656 section 19. */
  | { readonly outcome: "refused"; readonly code: number }
  | { readonly outcome: "silent" };

/** Asks for one's own address: a Binding request (RFC 8489 section 12). */
async function bind(url: IceUrl, asking: Asking): Promise<StunAnswer> {
  using wire = openWire(url, asking);
  const answer = await wire.ask(message(types.binding, []));
  return answer === undefined ? { outcome: "silent" } : outcomeOf(answer, attributes.xorMapped);
}

/**
 * Asks for a UDP relay with long-term credentials (RFC 8656 section 7, RFC 8489 section 9.2) and
 * gives it back at once.
 */
async function allocate(
  url: IceUrl,
  credentials: Credentials,
  asking: Asking,
): Promise<StunAnswer> {
  using wire = openWire(url, asking);
  const wanted: readonly Attribute[] = [[attributes.requestedTransport, Buffer.of(17, 0, 0, 0)]];
  const first = await wire.ask(message(types.allocate, wanted));
  if (first === undefined) return { outcome: "silent" };
  const [realm, nonce] = [first.get(attributes.realm), first.get(attributes.nonce)];
  if (realm === undefined || nonce === undefined) {
    return outcomeOf(first, attributes.xorRelayed);
  }
  const signed = (type: number, more: readonly Attribute[]) =>
    signedMessage(type, more, { ...credentials, realm, nonce });
  const second = await wire.ask(signed(types.allocate, wanted));
  if (second === undefined) return { outcome: "silent" };
  const outcome = outcomeOf(second, attributes.xorRelayed);
  const noTime: Attribute = [attributes.lifetime, Buffer.alloc(4)];
  if (outcome.outcome === "address") await wire.ask(signed(types.refresh, [noTime]));
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
/** The first of each kind counts (RFC 8489 section 14). */
type Answer = ReadonlyMap<number, Buffer>;

const headerBytes = 20;
const integrityBytes = 24;
const magicCookie = 0x2112a442;

/** A message with an id of its own (RFC 8489 section 5). */
function message(type: number, list: readonly Attribute[]): Buffer {
  const body = Buffer.concat(list.flatMap(encoded));
  const header = Buffer.alloc(headerBytes);
  header.writeUInt16BE(type, 0);
  header.writeUInt16BE(body.length, 2);
  header.writeUInt32BE(magicCookie, 4);
  for (let at = 8; at < headerBytes; at++) header[at] = cryptoRandom(256);
  return Buffer.concat([header, body]);
}

function encoded([type, value]: Attribute): readonly Buffer[] {
  const head = Buffer.alloc(4);
  head.writeUInt16BE(type, 0);
  head.writeUInt16BE(value.length, 2);
  return [head, value, Buffer.alloc(padding(value.length))];
}

function padding(length: number): number {
  return (4 - (length % 4)) % 4;
}

/** RFC 8489 sections 9.2.2 and 14.5: signed with the length that it has with the signature. */
function signedMessage(
  type: number,
  list: readonly Attribute[],
  { username, credential, realm, nonce }: Credentials & { realm: Buffer; nonce: Buffer },
): Buffer {
  const text = message(type, [
    ...list,
    [attributes.username, Buffer.from(username)],
    [attributes.realm, realm],
    [attributes.nonce, nonce],
  ]);
  text.writeUInt16BE(text.length - headerBytes + integrityBytes, 2);
  const key = createHash("md5").update(`${username}:${realm.toString()}:${credential}`).digest();
  const signature = createHmac("sha1", key).update(text).digest();
  return Buffer.concat([text, ...encoded([attributes.messageIntegrity, signature])]);
}

function outcomeOf(answer: Answer, address: number): StunAnswer {
  const found = readAddress(answer.get(address));
  if (found !== undefined) return { outcome: "address", address: found };
  const error = answer.get(attributes.errorCode);
  if (error === undefined || error.length < 4) return { outcome: "silent" };
  return { outcome: "refused", code: (error.readUInt8(2) & 7) * 100 + error.readUInt8(3) };
}

/** XOR-MAPPED-ADDRESS (RFC 8489 section 14.2) of IPv4: what is asked for here. */
function readAddress(value: Buffer | undefined): string | undefined {
  if (value === undefined || value.length < 8) return undefined;
  if (value.readUInt8(1) !== 1) return "an IPv6 address";
  const bits = (value.readUInt32BE(4) ^ magicCookie) >>> 0;
  return [bits >>> 24, (bits >>> 16) & 255, (bits >>> 8) & 255, bits & 255].join(".");
}

/** Undefined when `bytes` are not the whole answer to the request. */
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
    at += 4 + length + padding(length);
  }
  return found;
}

interface Wire extends Disposable {
  /** The answer to this request; undefined when none comes in time. One request at a time. */
  ask(request: Buffer): Promise<Answer | undefined>;
}

/** RFC 8489 section 6.2.1: over UDP a request is sent again after this, and then after twice that. */
const retransmitMs = 500;

/** A connection to the server: datagrams, or a stream of messages that begin with their length. */
function openWire({ transport, host, port }: IceUrl, asking: Asking): Wire {
  const { clock, timeoutMs, insecure } = asking;
  let received: Buffer = Buffer.alloc(0);
  let look: () => void = () => {};
  let hasFailed = false;
  const fail = () => {
    hasFailed = true;
    look();
  };
  const take = (bytes: Buffer) => {
    received = transport === "udp" ? bytes : Buffer.concat([received, bytes]);
    look();
  };
  const { send, close } = transport === "udp" ? datagrams() : stream();

  return {
    ask: (request) =>
      new Promise((resolve) => {
        received = Buffer.alloc(0);
        let cancelRetry = () => {};
        const end = (answer: Answer | undefined) => {
          look = () => {};
          cancelRetry();
          cancelTimeout();
          resolve(answer);
        };
        const cancelTimeout = clock.after(timeoutMs, () => end(undefined));
        const retryAfter = (ms: number) => {
          cancelRetry = clock.after(ms, () => {
            send(request);
            retryAfter(ms * 2);
          });
        };
        look = () => {
          const answer = parseAnswer(received, request);
          if (answer !== undefined || hasFailed) end(answer);
        };
        send(request);
        if (transport === "udp") retryAfter(retransmitMs);
        look();
      }),
    [Symbol.dispose]: () => close(),
  };

  function datagrams() {
    const socket = createSocket(isIPv6(host) ? "udp6" : "udp4");
    socket.on("message", take);
    socket.on("error", fail);
    return {
      send: (bytes: Buffer) => socket.send(bytes, port, host, (error) => error && fail()),
      close: () => socket.close(),
    };
  }

  function stream() {
    const socket =
      transport === "tls"
        ? connectTls({
            host,
            port,
            rejectUnauthorized: !insecure,
            ...(isIPv6(host) || /^[\d.]+$/.test(host) ? {} : { servername: host }),
          })
        : connectTcp({ host, port });
    socket.on("data", take);
    socket.on("error", fail);
    socket.on("close", fail);
    return { send: (bytes: Buffer) => socket.write(bytes), close: () => socket.destroy() };
  }
}
