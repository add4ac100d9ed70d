import net from "node:net";
import { encodeFrame, opcodes, RawClient } from "../support/raw-client.ts";
import { until } from "../support/waiting.ts";
import type { Attack, Verdict } from "./attack-case.ts";
import { startTarget, type Target } from "./target.ts";

const appId = "00000000-0000-4000-8000-000000000005";
/** A truly silent occupant is replaced by then. */
const replacedMs = 5_000;

/**
 * Writes one frame at a steady pace, or until the connection is over. No pong can come from the midst
 * of it.
 */
async function drip(client: RawClient, bytes: Buffer, bytesPerSecond: number): Promise<void> {
  client.autoPong = false;
  const startedAt = performance.now();
  for (let at = 0; at < bytes.length && !client.isOver; ) {
    const due = Math.floor(((performance.now() - startedAt) / 1_000) * bytesPerSecond);
    const end = Math.min(bytes.length, due);
    if (end > at) client.sendRaw(bytes.subarray(at, end));
    at = Math.max(at, end);
    await Bun.sleep(20);
  }
  client.autoPong = true;
}

/** Both have heard that the other is there: what they send now is relayed. */
async function paired(a: RawClient, b: RawClient): Promise<void> {
  await Promise.all([a.nextText(), b.nextText()]);
}

function largeFrame(bytes: number): Buffer {
  return encodeFrame(
    opcodes.text,
    Buffer.from(`{"type":"ice","candidate":"${"x".repeat(bytes)}"}`),
  );
}

/** What of its peer's the other side has heard by the time it answers a ping. */
async function heardBy(peer: RawClient): Promise<number> {
  return (await peer.settled()).filter((text) => text.includes('"ice"')).length;
}

/** An occupant uploads one large frame; newcomers, if any, want its seat from the first moment. */
async function upload(newcomers: number, heartbeat: string, bytes: number, rate: number) {
  await using target = await startTarget({ HEARTBEAT: heartbeat });
  await using a = await RawClient.open(target.ws, { appId });
  await using b = await RawClient.open(target.ws, { appId, side: "B" });
  await paired(a, b);
  const waiting: RawClient[] = [];
  const frame = largeFrame(bytes);
  a.sendRaw(frame.subarray(0, 1_000));
  await a.flushed();
  const sent = drip(a, frame.subarray(1_000), rate);
  for (let n = 0; n < newcomers; n++) waiting.push(await RawClient.open(target.ws, { appId }));
  await sent;
  const stays = await a.settled().then(
    () => true,
    () => false,
  );
  const heard = await heardBy(b);
  for (const client of waiting) client.destroy();
  return {
    measured: stays ? `it keeps its seat, ${heard} frame relayed` : "it was cut",
    holds: stays && heard === 1,
  };
}

/** A way to the server on which what comes back takes its time: so many bytes a second, in order. */
async function slowWay(target: Target, bytesPerSecond: number) {
  const server = net.createServer((near) => {
    const far = net.connect(target.port, "127.0.0.1");
    const queue: Buffer[] = [];
    near.on("data", (chunk) => far.write(chunk));
    far.on("data", (chunk: Buffer) => void queue.push(chunk));
    const stepMs = 20;
    const timer = setInterval(() => {
      let left = (bytesPerSecond * stepMs) / 1_000;
      while (left > 0) {
        const chunk = queue.shift();
        if (chunk === undefined) return;
        near.write(chunk.subarray(0, left));
        if (chunk.length > left) queue.unshift(chunk.subarray(left));
        left -= chunk.length;
      }
    }, stepMs);
    const end = () => {
      clearInterval(timer);
      near.destroy();
      far.destroy();
    };
    for (const socket of [near, far]) socket.on("close", end).on("error", end);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as net.AddressInfo;
  return {
    ws: `ws://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

async function slowReader(): Promise<Verdict> {
  await using target = await startTarget();
  await using way = await slowWay(target, 100_000);
  await using a = await RawClient.open(way.ws, { appId });
  await using b = await RawClient.open(target.ws, { appId, side: "B" });
  await paired(a, b);
  for (let i = 0; i < 4; i++) b.send(`{"type":"ice","candidate":"${"x".repeat(50_000)}"}`);
  await b.settled();
  await using newcomer = await RawClient.open(target.ws, { appId });
  // Refused after a while, or seated.
  await Promise.race([newcomer.ended, newcomer.nextText().catch(() => {})]);
  let heard = 0;
  const stays = await heardBy(a).then(
    (count) => {
      heard = count;
      return true;
    },
    () => false,
  );
  return {
    measured: stays ? `it keeps its seat, heard ${heard} of 4 frames` : "it was cut",
    holds: stays && heard === 4,
  };
}

type Occupant = (a: RawClient, b: RawClient, target: Target) => Promise<void>;

/** How long a newcomer waits for the seat of an occupant that went like this. */
async function replaces(goes: Occupant): Promise<Verdict> {
  await using target = await startTarget();
  await using a = await RawClient.open(target.ws, { appId });
  await using b = await RawClient.open(target.ws, { appId, side: "B" });
  await paired(a, b);
  await goes(a, b, target);
  a.fallSilent();
  a.pause();
  const startedAt = performance.now();
  await using newcomer = await RawClient.open(target.ws, { appId });
  const told = await newcomer.nextText().catch(() => "nothing");
  const ms = performance.now() - startedAt;
  return {
    measured: told.includes("room_full") ? `replaced in ${(ms / 1_000).toFixed(2)} s` : told,
    holds: told.includes("room_full") && ms <= replacedMs + 500,
  };
}

export const liveness: readonly Attack[] = [
  {
    name: "living-uploader",
    tries: "an occupant uploads 300 kB at 125 kB/s while a newcomer wants its seat",
    bound: "it keeps its seat, its frame arrives",
    short: true,
    run: () => upload(1, "20s", 300_000, 125_000),
  },
  {
    name: "living-slow-reader",
    tries: "an occupant reads at 100 kB/s, its pong 2 s away, while a newcomer wants its seat",
    bound: "it keeps its seat, hears every frame",
    run: slowReader,
  },
  {
    name: "living-dripper",
    tries: "HEARTBEAT=1s, a frame of 300 kB at 100 kB/s",
    bound: "the connection is not cut, the frame arrives",
    short: true,
    run: () => upload(0, "1s", 300_000, 100_000),
  },
  {
    name: "dead-and-idle",
    tries: "a silent occupant, nothing under way, and a newcomer",
    bound: "replaced within 5 s",
    run: () => replaces(async () => {}),
  },
  {
    name: "dead-with-bytes-unread",
    tries: "an occupant that stopped reading with megabytes on their way to it, and a newcomer",
    bound: "replaced within 5 s",
    run: () =>
      replaces(async (a, b, target) => {
        a.pause();
        // More than the kernels take: some of it stays with the server, whose metrics may be a second old.
        for (let i = 0; i < 200; i++) b.send(`{"type":"ice","candidate":"${"x".repeat(100_000)}"}`);
        const unsent = () => target.metric("nt_ws_buffered_bytes");
        await until("more than the kernels take", async () => (await unsent()) > 0, 10_000);
      }),
  },
  {
    name: "dead-in-a-frame",
    tries: "an occupant that fell silent in the middle of a frame, and a newcomer",
    bound: "replaced within 5 s",
    run: () =>
      replaces(async (a) => {
        a.sendRaw(largeFrame(300_000).subarray(0, 150_000));
        await a.flushed();
      }),
  },
];
