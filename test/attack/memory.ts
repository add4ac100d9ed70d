import net from "node:net";
import {
  encodeFrame,
  opcodes,
  type RawClient,
  type RawClientOptions,
} from "../support/raw-client.ts";
import { rawRequest } from "../support/raw-http.ts";
import { TestRedis } from "../support/redis.ts";
import type { Attack, Verdict } from "./attack-case.ts";
import {
  eachOf,
  from,
  inMib,
  kib,
  mib,
  startTarget,
  stranger,
  type Target,
  tryOpen,
  upTo,
} from "./target.ts";

/** What may be held beyond twice of what is counted. */
const spareBytes = 64 * mib;
/** How long the collector of garbage may take to notice. */
const settleMs = 10_000;
const pollMs = 250;
/** An attack that the server slows down goes on no longer than this. */
const attackMs = 15_000;

const bound = "RSS grows by at most 2 × what the budgets count + 64 MiB";

/** A frame as a client sends it, built once. */
function textFrame(text: string): Buffer {
  return encodeFrame(opcodes.text, Buffer.from(text));
}

interface Held {
  readonly grown: number;
  readonly counted: number;
}

/** What each socket may hold as well: the runtime keeps a buffer as large as its largest message. */
const bufferBytes = mib;
const isBounded = ({ grown, counted }: Held, largeSenders = 0) =>
  grown <= 2 * counted + spareBytes + largeSenders * bufferBytes;

interface Allowance {
  /** Sockets that send messages of `WS_MAX_MSG`, whole or in part. */
  readonly largeSenders?: number;
  /** How long what is only garbage gets to go. */
  readonly withinMs?: number;
}

/** What the attack leaves held. */
async function holds(
  target: Target,
  attack: () => Promise<void>,
  { largeSenders = 0, withinMs = settleMs }: Allowance = {},
): Promise<Verdict> {
  const before = target.rss();
  await attack();
  const look = async (): Promise<Held> => ({
    counted: await target.counted(),
    grown: target.rss() - before,
  });
  let held = await look();
  for (const until = performance.now() + withinMs; performance.now() < until; ) {
    if (isBounded(held, largeSenders)) break;
    await Bun.sleep(pollMs);
    held = await look();
  }
  return toldHeld(held, "RSS", largeSenders);
}

/** The most that is held while an attack goes on, and until `ms` after its start. */
async function worstDuring(
  target: Target,
  ms: number,
  attack: (until: number) => Promise<void>,
): Promise<Verdict> {
  const before = target.rss();
  const until = performance.now() + ms;
  const attacked = attack(until);
  const samples: Held[] = [];
  while (performance.now() < until) {
    samples.push({ grown: target.rss() - before, counted: await target.counted() });
    await Bun.sleep(pollMs);
  }
  await attacked;
  // The metrics may be a second old: what is held now they count by then.
  const over = ({ grown, counted }: Held) => grown - 2 * counted;
  const worst = samples
    .map(({ grown }, i) => {
      const soon = samples.slice(i, i + 1 + Math.ceil(1_000 / pollMs));
      return { grown, counted: Math.max(...soon.map(({ counted }) => counted)) };
    })
    .reduce((one, other) => (over(one) > over(other) ? one : other));
  return toldHeld(worst, "RSS");
}

function toldHeld(held: Held, what: string, largeSenders = 0): Verdict {
  return {
    measured: `${what} grew by ${inMib(held.grown)}, ${inMib(held.counted)} of it counted`,
    holds: isBounded(held, largeSenders),
  };
}

/** So many sockets of strangers, one a room, that are kept open until the end. */
async function openMany(
  target: Target,
  count: number,
  options: (n: number) => RawClientOptions,
): Promise<readonly RawClient[] & AsyncDisposable> {
  const clients: RawClient[] = [];
  await eachOf(upTo(count), 32, async (n) => {
    const client = await tryOpen(target, options(n));
    if (client !== undefined) clients.push(client);
  });
  return Object.assign(clients, {
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.destroy();
    },
  });
}

/** Sends the frame so many times and waits until it was handled, or the connection is over. */
async function sendTimes(client: RawClient, frame: Uint8Array, times: number, until: number) {
  for (let i = 0; i < times && performance.now() < until && !client.isOver; i++) {
    client.sendRaw(frame);
    await client.flushed();
  }
  await client.settled().catch(() => {});
}

const filler = "x".repeat(mib - 100);

/** Mail of `payload` from each of many rooms, `each` times. */
async function mails(
  frames: readonly Buffer[],
  rooms: number,
  each: number,
  options: RawClientOptions = {},
  env: Readonly<Record<string, string>> = {},
): Promise<Verdict> {
  // An operator may set no limit on frames; the bytes are bounded all the same.
  await using target = await startTarget({ FRAMES_PER_SEC: "0", ...env });
  return await holds(target, async () => {
    const headers = (n: number) => ({ ...options.headers, ...from(stranger(n)) });
    await using clients = await openMany(target, rooms, (n) => ({
      ...options,
      headers: headers(n),
    }));
    const until = performance.now() + attackMs;
    const chunks = chunked(frames, each);
    const one = async (client: RawClient) => {
      for (const chunk of chunks) await sendTimes(client, chunk, 1, until);
    };
    await eachOf(clients, 16, one);
  });
}

/** `count` frames, taken in turn, in chunks that are sent at once. */
function chunked(frames: readonly Buffer[], count: number): readonly Buffer[] {
  const chunks: Buffer[] = [];
  let chunk: Buffer[] = [];
  for (let i = 0; i < count; i++) {
    const frame = frames[i % frames.length] as Buffer;
    chunk.push(frame);
    if (chunk.length * frame.length < 256 * kib && i < count - 1) continue;
    chunks.push(Buffer.concat(chunk));
    chunk = [];
  }
  return chunks;
}

/** Readers that read nothing, for which more waits than the kernel takes. `end` is what each does then. */
async function stalledReaders(
  env: Readonly<Record<string, string>>,
  end: (reader: RawClient) => void,
): Promise<Verdict> {
  await using target = await startTarget({
    WS_BUFFER: String(4 * mib),
    FRAMES_PER_SEC: "0",
    HEARTBEAT: "10m",
    SLOW_PEER_TIMEOUT: "10m",
    ...env,
  });
  const frame = textFrame(`{"type":"ice","candidate":"${"x".repeat(100_000)}"}`);
  const burst = Buffer.concat(Array.from({ length: 75 }, () => frame));
  const attack = async () => {
    await eachOf(upTo(60), 8, async (n) => {
      const options = { appId: crypto.randomUUID(), headers: from(stranger(n)) };
      const a = await tryOpen(target, options);
      const b = await tryOpen(target, { ...options, side: "B" });
      if (a === undefined || b === undefined) return;
      await a.settled().catch(() => {});
      b.pause();
      b.fallSilent();
      a.sendRaw(burst);
      await a.settled().catch(() => {});
      end(b);
    });
    // The metrics are new by then. By itself the runtime drops what it keeps after 4 to 8 s.
    await Bun.sleep(1_000);
  };
  return await holds(target, attack, { withinMs: 1_000 });
}

const smallInLarge = () => [
  textFrame(`{"type":"send","to":"B","payload":"12345678","pad":"${filler}"}`),
];

export const memory: readonly Attack[] = [
  {
    name: "memory-small-mail-in-large-frames",
    tries: "800 mails of 8 characters in frames of 1 MiB",
    bound,
    run: () => mails(smallInLarge(), 20, 40),
  },
  {
    name: "memory-small-mail-in-large-frames-short",
    tries: "120 mails of 8 characters in frames of 1 MiB",
    bound,
    short: true,
    run: () => mails(smallInLarge(), 20, 6),
  },
  {
    name: "memory-one-byte-mails",
    tries: "1,200,000 mails of one digit",
    bound,
    run: () => mails([textFrame('{"type":"send","to":"B","payload":1}')], 150, 8_000),
  },
  {
    name: "memory-mail-ids",
    tries: "256 mails of one digit with ids of 64 characters, from each of 1,200 sockets",
    bound,
    short: true,
    run() {
      const frames = Array.from({ length: 256 }, (_, i) =>
        textFrame(`{"type":"send","to":"B","payload":1,"id":"${String(i).padStart(64, "i")}"}`),
      );
      return mails(frames, 1_200, 256, { headers: { "Sec-WebSocket-Protocol": "nt.v2" } });
    },
  },
  {
    name: "memory-wide-characters",
    tries: "mails of 200 kB, one character in each beyond Latin-1, until MAIL_TOTAL_BYTES is full",
    bound,
    short: true,
    run() {
      const payload = `漢${"x".repeat(200_000)}`;
      return mails([textFrame(`{"type":"send","to":"B","payload":"${payload}"}`)], 80, 20);
    },
  },
  {
    name: "memory-long-urls",
    tries: "8,000 rooms with one mail each, opened by URLs of 13.8 kB",
    bound,
    async run() {
      await using target = await startTarget();
      const pad = "p".repeat(13_600);
      return await holds(target, async () => {
        await eachOf(upTo(8_000), 32, async (n) => {
          // The rest of the query stands behind the sid.
          const options = { sid: `s${n}&pad=${pad}`, headers: from(stranger(n)) };
          const client = await tryOpen(target, options);
          if (client === undefined) return;
          client.send('{"type":"send","to":"B","payload":"1"}');
          await client.settled().catch(() => {});
          client.reset();
        });
      });
    },
  },
  {
    name: "memory-long-headers",
    tries: "10,000 wrong codes from 10,000 addresses, each at the end of 12 kB of X-Forwarded-For",
    bound,
    async run() {
      await using target = await startTarget({ HTTP_RATE_PER_MIN: "100" });
      const pad = `${"9".repeat(12_000)}, `;
      return await holds(target, () =>
        eachOf(upTo(10_000), 32, async (n) => {
          await rawRequest(target.http, {
            method: "POST",
            target: "/rendezvous/redeem",
            headers: {
              "Content-Type": "application/json",
              "X-Forwarded-For": pad + stranger(n),
            },
            body: `{"code":"${10_000_000 + n}"}`,
          });
        }),
      );
    },
  },
  {
    name: "memory-unfinished-messages",
    tries: "200 sockets that send 1 MiB of a message and never its end, and answer pings",
    bound: `${bound} and WS_MAX_MSG a socket, which nt-signal config tells`,
    async run() {
      const sockets = 200;
      await using target = await startTarget({ HEARTBEAT: "1s" });
      await using clients = await openMany(target, sockets, (n) => ({
        headers: from(stranger(n)),
      }));
      const part = encodeFrame(opcodes.text, Buffer.from(`"${filler}`), false);
      const attack = async () => {
        for (const client of clients) client.sendRaw(part);
        await Promise.all(clients.map((client) => client.settled()));
      };
      return await holds(target, attack, { largeSenders: sockets });
    },
  },
  {
    name: "memory-parked",
    tries:
      "100 newcomers to taken seats: 50 send 3 MB each and are sent away, 50 send 1 MB and wait",
    bound: `${bound}, at the latest after 4 s`,
    async run() {
      await using target = await startTarget();
      const room = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`;
      const options = (n: number) => ({ appId: room(n), headers: from(stranger(n)) });
      await using occupants = await openMany(target, 100, options);
      await using newcomers = await openMany(target, 100, options);
      const frame = textFrame(`{"type":"ice","candidate":"${"x".repeat(100_000)}"}`);
      const burst = (frames: number) => Buffer.concat(Array.from({ length: frames }, () => frame));
      const [more, fewer] = [burst(30), burst(10)];
      const attack = async () => {
        for (const [n, client] of newcomers.entries()) client.sendRaw(n % 2 === 0 ? more : fewer);
        await Promise.all(newcomers.map((client) => client.settled().catch(() => {})));
      };
      // Those who wait do so for 5 s.
      const verdict = await holds(target, attack, { withinMs: 4_000 });
      if (occupants.some((client) => client.isOver)) {
        return { measured: "an occupant lost its seat", holds: false };
      }
      return verdict;
    },
  },
  {
    name: "memory-unread-pongs",
    tries: "20 sockets that send pings of 125 bytes for 4 s and read no pong",
    bound: `${bound}, at any moment`,
    async run() {
      await using target = await startTarget();
      const ping = encodeFrame(opcodes.ping, Buffer.alloc(125));
      const burst = Buffer.concat(Array.from({ length: 2_000 }, () => ping));
      await using clients = await openMany(target, 20, (n) => ({ headers: from(stranger(n)) }));
      for (const client of clients) client.pause();
      return await worstDuring(target, 4_000, (until) =>
        eachOf(clients, clients.length, async (client) => {
          while (performance.now() < until && !client.isOver) {
            client.sendRaw(burst);
            await client.flushed().catch(() => {});
          }
        }),
      );
    },
  },
  {
    name: "memory-unread-answers",
    tries: "20 connections that ask for the page 2,000 times each and read no answer",
    bound: `${bound}, at any moment`,
    async run() {
      await using target = await startTarget();
      const requests = Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2_000));
      const sockets = Array.from({ length: 20 }, () => {
        return net.connect({ port: target.port, host: "127.0.0.1" }).pause();
      });
      const verdict = await worstDuring(target, 4_000, async () => {
        for (const socket of sockets) socket.on("error", () => {}).write(requests);
      });
      for (const socket of sockets) socket.destroy();
      return verdict;
    },
  },
  {
    name: "memory-unsent-of-the-closed",
    tries: "60 stalled readers with megabytes waiting for each (WS_BUFFER_TOTAL=8388608)",
    bound: `${bound}, at the latest after 2 s`,
    run: () => stalledReaders({ WS_BUFFER_TOTAL: "8388608" }, () => {}),
  },
  {
    name: "memory-unread-by-closers",
    tries: "60 such readers, each of which sends a close frame and reads no answer",
    bound: `${bound}, at the latest after 2 s`,
    run: () => stalledReaders({}, (reader) => reader.sendClose()),
  },
  {
    name: "memory-redis-stream",
    tries: "60 rooms that relay a frame of 1 MiB each way between two nodes",
    bound: "Redis grows by at most 2 × what the budgets count + 64 MiB",
    needs: ["redis-server"],
    async run() {
      await using redis = await TestRedis.start();
      // Two nodes: on one, peers hear each other without Redis.
      await using target = await startTarget({ REDIS_URL: redis.url });
      await using second = await startTarget({ REDIS_URL: redis.url });
      const used = async () => {
        const text = String(await redis.ask("INFO", "memory"));
        return Number(/^used_memory:(\d+)/m.exec(text)?.[1]);
      };
      const before = await used();
      const frame = textFrame(`{"type":"ice","candidate":"${filler}"}`);
      await eachOf(upTo(60), 4, async (n) => {
        const appId = crypto.randomUUID();
        const options = { appId, headers: from(stranger(n)) };
        const a = await tryOpen(target, options);
        const b = await tryOpen(second, { ...options, side: "B" });
        if (a === undefined || b === undefined) return;
        for (const peer of [a, b]) {
          peer.sendRaw(frame);
          await peer.settled().catch(() => {});
        }
        // Both stay, as peers do: their room does.
      });
      return toldHeld({ grown: (await used()) - before, counted: await target.counted() }, "Redis");
    },
  },
];
