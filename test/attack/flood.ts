import type { Socket } from "bun";
import { encodeFrame, opcodes, upgradeRequest } from "../support/raw-client.ts";
import { stranger } from "./target.ts";

// Floods a server until it is killed, a process of its own: bun flood.ts PORT KIND. 20 clients with a
// connection each, or one with many; each sends as fast as it may.

const strangers = 20;
const port = Number(process.argv[2]);
const kind = process.argv[3] ?? "";

interface Flood {
  /** So many connections of one client; else one each of 20. */
  readonly crowd?: number;
  /** ms from round to round; else one follows the other. */
  readonly everyMs?: number;
  /** What one connection sends before its flood begins, if anything. */
  readonly first?: (n: number) => string;
  /** What it sends over and over. */
  readonly bytes: (n: number) => Uint8Array;
  /** Answers that have to be there before the next round; else it goes as soon as the kernel takes it. */
  readonly answers?: number;
  /** Each round comes over a connection of its own. */
  readonly reconnects?: true;
}

function request(method: string, target: string, headers: readonly string[], body = ""): string {
  const length = body === "" ? [] : [`Content-Length: ${Buffer.byteLength(body)}`];
  const lines = [`${method} ${target} HTTP/1.1`, "Host: x", ...headers, ...length];
  return `${lines.join("\r\n")}\r\n\r\n${body}`;
}

function asked(text: (n: number) => string, times = 1): Flood {
  return { bytes: (n) => Buffer.from(text(n).repeat(times)), answers: times };
}

const appId = (n: number) => `00000000-0000-4000-9000-${String(n).padStart(12, "0")}`;

function upgrade(n: number, side = "A", client = stranger(n)): string {
  return upgradeOf(`/ws?appID=${appId(n)}&side=${side}`, { "X-Forwarded-For": client });
}

function upgradeWithoutRoom(n: number): string {
  const headers = { "X-Forwarded-For": stranger(n), "Sec-WebSocket-Protocol": "nt.v2" };
  return upgradeOf("/ws", headers);
}

function upgradeOf(url: string, more: Readonly<Record<string, string>>): string {
  const { target, headers = {} } = upgradeRequest(url, more);
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return request("GET", target, lines);
}

function frames(
  frame: Buffer,
  count: number,
  first: (n: number) => string = (n) => upgrade(n),
): Flood {
  const bytes = Buffer.concat(Array.from({ length: count }, () => frame));
  return { first, bytes: () => bytes };
}

/** Both sides of each room are this one client's, and flood each other. */
function crowd(
  size: number,
  frame: Buffer,
  count: number,
  everyMs?: number,
  address = stranger(0),
): Flood {
  const first = (n: number) => upgrade(n >> 1, n % 2 === 0 ? "A" : "B", address);
  return { ...frames(frame, count), first, crowd: size, ...(everyMs && { everyMs }) };
}

const text = (value: string) => encodeFrame(opcodes.text, Buffer.from(value));
const one = (n: number) => `X-Forwarded-For: ${stranger(n)}`;
const nested = `{"type":"ice","a":${"[".repeat(500_000)}${"]".repeat(500_000)}}`;
const shallow = text(`{"type":"ice","a":${"[".repeat(240)}${"]".repeat(240)}}`);
const keys = `{"type":"ice",${Array.from({ length: 80_000 }, (_, i) => `"k${i}":0`).join(",")}}`;
const escaped = `{"type":"send","to":"B","payload":"${"\\u0041".repeat(170_000)}"}`;
const manyHops = `X-Forwarded-For: ${"1.2.3.4,".repeat(1_500)}`;
const ipv6Hops = `X-Forwarded-For: ${"2001:db8::1,".repeat(1_000)}`;
const forwarded = `Forwarded: ${'for="[2001:db8::1]:1";by=x,'.repeat(450)}`;
const redeem = (n: number) => ["Content-Type: application/json", one(n)];

const floods: Readonly<Record<string, Flood>> = {
  scrapes: asked(() => request("GET", "/metrics", [])),
  "pipelined-scrapes": asked(() => request("GET", "/metrics", []), 32),
  "refused-upgrades": asked(upgrade),
  nesting: frames(text(nested), 1),
  "many-keys": frames(text(keys), 1),
  "escaped-mail": frames(text(escaped), 1),
  "small-frames": frames(text("{}"), 2_000),
  "mail-frames": frames(text('{"type":"send","to":"A","payload":1}'), 2_000),
  acknowledgements: frames(text('{"type":"delivered","upTo":1}'), 2_000),
  hellos: frames(text('{"type":"hello","deliveredUpTo":0}'), 2_000),
  "wrong-redeems": frames(text('{"type":"redeem","code":"00000000"}'), 2_000, upgradeWithoutRoom),
  "minting-frames": frames(text('{"type":"mint"}'), 2_000, upgradeWithoutRoom),
  "wrong-joins": frames(text('{"type":"join","appID":"","side":"C"}'), 2_000, upgradeWithoutRoom),
  pongs: frames(encodeFrame(opcodes.pong, Buffer.alloc(0)), 8_000),
  pings: frames(encodeFrame(opcodes.ping, Buffer.alloc(125)), 2_000),
  "crowd-nesting": crowd(500, shallow, 200),
  "crowd-neighbours": crowd(500, shallow, 200, undefined, "127.0.0.1"),
  "crowd-bursts": crowd(950, shallow, 200, 3_000),
  "crowd-small-frames": crowd(500, text("{}"), 500),
  "crowd-mail": crowd(500, text('{"type":"send","to":"A","payload":1}'), 500),
  "crowd-large": crowd(500, text(nested), 1),
  "crowd-pings": crowd(500, encodeFrame(opcodes.ping, Buffer.alloc(125)), 150, 100),
  fragments: {
    first: (n) =>
      upgrade(n) + encodeFrame(opcodes.text, Buffer.from("{"), false).toString("latin1"),
    bytes: () => Buffer.concat(Array(4_000).fill(encodeFrame(0, Buffer.alloc(0), false))),
  },
  "many-hops": asked((n) => request("GET", "/rendezvous/whoami", [`${manyHops}${stranger(n)}`])),
  "many-ipv6-hops": asked((n) =>
    request("GET", "/rendezvous/whoami", [`${ipv6Hops}${stranger(n)}`]),
  ),
  // Every hop is believed: none ends the walk.
  "loopback-hops": asked(() =>
    request("GET", "/rendezvous/whoami", [`X-Forwarded-For: ${"127.0.0.1,".repeat(1_200)}::1`]),
  ),
  "forwarded-hops": asked((n) =>
    request("GET", "/rendezvous/whoami", [`${forwarded}for=${stranger(n)}`]),
  ),
  bodies: asked((n) => request("POST", "/rendezvous/redeem", redeem(n), "[".repeat(60_000))),
  "wrong-codes": asked(
    (n) => request("POST", "/rendezvous/redeem", redeem(n), '{"code":"00000000"}'),
    32,
  ),
  mints: asked((n) => request("POST", "/rendezvous/code", [one(n)]), 32),
  "unknown-paths": asked((n) => request("GET", "/nowhere", [one(n)]), 32),
  pages: asked((n) => request("GET", "/", [one(n)])),
  descriptions: asked((n) => request("GET", "/openapi.json", [one(n)])),
  reconnects: { bytes: (n) => Buffer.from(upgrade(n)), reconnects: true },
};

interface Connection {
  readonly n: number;
  unsent: Uint8Array;
  /** The flood runs: what came first was answered. */
  isOn: boolean;
  /** Answers of this round that have come. */
  answers: number;
}

/** Of answers that begin in a chunk, those whose first line is not cut. */
function answersIn(chunk: Buffer): number {
  let count = 0;
  for (let at = chunk.indexOf("HTTP/1.1 "); at !== -1; at = chunk.indexOf("HTTP/1.1 ", at + 9)) {
    count++;
  }
  return count;
}

function start(flood: Flood): void {
  const connections = flood.crowd ?? strangers;
  const rounds = Array.from({ length: connections }, (_, n) => flood.bytes(n));

  function pump(socket: Socket<Connection>): void {
    const { data } = socket;
    for (let turns = 0; turns < 8; turns++) {
      if (data.unsent.length === 0) {
        if (!data.isOn || flood.answers !== undefined) return;
        if (flood.everyMs !== undefined && turns > 0) break;
        data.unsent = rounds[data.n] as Uint8Array;
      }
      const written = Math.max(0, socket.write(data.unsent));
      data.unsent = data.unsent.subarray(written);
      if (data.unsent.length > 0) return;
    }
    setTimeout(() => pump(socket), flood.everyMs ?? 0);
  }

  function connect(n: number): void {
    Bun.connect<Connection>({
      hostname: "127.0.0.1",
      port,
      data: { n, unsent: new Uint8Array(), isOn: flood.first === undefined, answers: 0 },
      socket: {
        open(socket) {
          const { data } = socket;
          data.unsent = flood.first
            ? Buffer.from(flood.first(n), "latin1")
            : (rounds[n] as Uint8Array);
          if (flood.reconnects) data.isOn = false;
          pump(socket);
        },
        data(socket, chunk) {
          if (flood.reconnects) return void socket.terminate();
          const { data } = socket;
          const wasOn = data.isOn;
          data.isOn = true;
          if (flood.answers !== undefined) {
            data.answers += answersIn(chunk);
            if (data.answers < flood.answers) return;
            data.answers = 0;
            data.unsent = rounds[n] as Uint8Array;
          } else if (wasOn) return;
          pump(socket);
        },
        drain: pump,
        close: () => void setTimeout(() => connect(n), flood.reconnects ? 0 : 50),
        error() {},
      },
    }).catch(() => void setTimeout(() => connect(n), 50));
  }

  for (let n = 0; n < connections; n++) connect(n);
}

const flood = floods[kind];
if (flood === undefined) {
  process.stderr.write(
    `There is no flood "${kind}". Name one of ${Object.keys(floods).join(", ")}\n`,
  );
  process.exit(2);
}
// Whoever started it may be gone without a word.
setTimeout(() => process.exit(0), 60_000);
start(flood);
