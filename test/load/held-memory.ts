import { join } from "node:path";
import { endsWithUs } from "../bench/children.ts";
import { scrape } from "../support/metrics.ts";
import { until } from "../support/waiting.ts";
import type { Scenario } from "./scenario.ts";

/** What a socket and a room take, as docs/performance.md tells operators to reckon. */
const socketBytes = 4_000;
const roomBytes = 3_000;
/** What is spent may be twice what is counted, and so much more. */
const slackBytes = 64 * 1_048_576;

/** Longer than any of it takes, also on a busy machine. */
const patienceMs = 60_000;
const megabyte = 1_000_000;

const env = {
  LOG_LEVEL: "error",
  DEV: "true",
  WS_RATE_PER_MIN: "10000000",
  SOCKETS_PER_CLIENT: "10000000",
  FRAMES_PER_SEC: "10000000",
  MAX_ROOMS: "10000000",
  // Their eighth, which one client may hold, is what is filled.
  MAIL_TOTAL_BYTES: "8000000000",
};

/** For any traffic, memory grows by no more than twice what the budgets count, and 64 MiB. */
export const heldMemory: Scenario = async ({ short, say }) => {
  const size = short ? 1 : 10;

  await grows("small mails in large frames", async (server) => {
    const ws = await server.open(crypto.randomUUID());
    const count = 250 * size;
    const pad = "x".repeat(megabyte - 100);
    for (let i = 0; i < count; i++) {
      ws.send(`{"type":"send","to":"B","payload":"${10_000_000 + i}","pad":"${pad}"}`);
      await sentTo(ws, 8 * megabyte);
    }
    await server.shows("nt_mails", count);
  });

  await grows("mails of one byte, with ids", async (server) => {
    const rooms = 20 * size;
    for (let room = 0; room < rooms; room++) {
      const ws = await server.open(crypto.randomUUID());
      for (let i = 0; i < 256; i++) {
        const id = `${room} ${i} `.padEnd(64, "x");
        ws.send(`{"type":"send","to":"B","payload":1,"id":"${id}"}`);
      }
    }
    await server.shows("nt_mails", rooms * 256);
  });

  await grows("mails whose characters take two bytes", async (server) => {
    const payload = "x".repeat(megabyte - 100);
    const rooms = 10 * size;
    for (let room = 0; room < rooms; room++) {
      const ws = await server.open(crypto.randomUUID());
      for (const to of ["A", "B"])
        ws.send(`{"type":"send","to":"${to}","payload":"\u6f22${payload}"}`);
      await sentTo(ws, 0);
    }
    await server.shows("nt_mails", 2 * rooms);
  });

  await grows("rooms that came with long URLs", async (server) => {
    const rooms = short ? 1_000 : 8_000;
    const pad = "x".repeat(13_000);
    for (let from = 0; from < rooms; from += 100) {
      await Promise.all(
        Array.from({ length: 100 }, (_, i) =>
          server.open(`${crypto.randomUUID()}&sid=s${from + i}&pad=${pad}`),
        ),
      );
    }
    await server.shows("nt_rooms_active", rooms);
  });

  async function grows(what: string, attack: (server: Measured) => Promise<void>): Promise<void> {
    await using server = await measuredServer();
    const before = await server.rss();
    await attack(server);
    const counted = await server.counted();
    const most = 2 * counted + slackBytes;
    // Freed pages go back to the system a while after the garbage was collected.
    const giveUpAt = performance.now() + patienceMs;
    let growth = (await server.rss()) - before;
    while (growth > most && performance.now() < giveUpAt) growth = (await server.rss()) - before;
    const [grown, held] = [growth, counted].map((bytes) => (bytes / megabyte).toFixed(1));
    say(`${what}: memory grew by ${grown} MB, ${held} MB are counted`);
    if (growth > most)
      throw new Error(`${what}: memory grew by ${grown} MB for ${held} MB counted`);
  }
};

interface Measured extends AsyncDisposable {
  open(appId: string): Promise<WebSocket>;
  /** After a collection of garbage. */
  rss(): Promise<number>;
  counted(): Promise<number>;
  shows(gauge: string, value: number): Promise<void>;
}

async function measuredServer(): Promise<Measured> {
  let tell: (answer: number) => void = () => {};
  const told = () =>
    new Promise<number>((resolve) => {
      tell = resolve;
    });
  const listens = told();
  const child = endsWithUs(
    Bun.spawn(
      [process.execPath, join(import.meta.dir, "measured-server.ts"), JSON.stringify(env)],
      {
        stdin: "ignore",
        stdout: "ignore",
        stderr: "inherit",
        ipc: (answer) => tell(Number(answer)),
      },
    ),
  );
  const port = await listens;
  const http = `http://127.0.0.1:${port}`;
  return {
    async open(appId) {
      const ws = new WebSocket(`ws://127.0.0.1:${port}/ws?appID=${appId}&side=A`, "nt.v2");
      await new Promise<void>((resolve, reject) => {
        ws.onopen = () => resolve();
        ws.onclose = ({ code }) => reject(new Error(`The server closed with ${code}`));
      });
      return ws;
    },
    rss() {
      const answer = told();
      child.send("rss");
      return answer;
    },
    async counted() {
      const gauges = await scrape(http);
      const of = (name: string) => gauges.get(name) ?? 0;
      const bytes = of("nt_mailbox_bytes") + of("nt_mail_id_bytes") + of("nt_held_bytes");
      return bytes + of("nt_ws_open") * socketBytes + of("nt_rooms_active") * roomBytes;
    },
    async shows(gauge, value) {
      const shown = async () => (await scrape(http)).get(gauge) === value;
      await until(`${gauge} to be ${value}`, shown, patienceMs);
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

/** Resolves when no more than so many bytes wait to be sent. */
async function sentTo(ws: WebSocket, bytes: number): Promise<void> {
  while (ws.bufferedAmount > bytes) await new Promise((resolve) => setImmediate(resolve));
}
