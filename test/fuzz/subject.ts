import { rssBytes } from "../bench/process-facts.ts";
import { openPair, type Pair } from "../support/client.ts";
import { scrape } from "../support/metrics.ts";
import { Program } from "../support/program.ts";
import { until } from "../support/waiting.ts";
import { wsMaxMsgBytes } from "./frames.ts";

/** Little of everything, so that what has no bound soon shows. */
const settings = {
  LOG_LEVEL: "info",
  LOG_FORMAT: "json",
  WS_MAX_MSG: String(wsMaxMsgBytes),
  FRAMES_PER_SEC: "1000000",
  MAX_SOCKETS: "500",
  SOCKETS_PER_CLIENT: "400",
  MAX_ROOMS: "400",
  ROOM_TTL: "2s",
  RELAY_HOLD: "1s",
  REDEEM_WINDOW: "2s",
  CODES_PER_CLIENT: "20",
  MAX_CODES: "2000",
  MAILBOX_MAX_MAILS: "200",
  MAILBOX_MAX_BYTES: "1048576",
  MAIL_TOTAL_BYTES: "8388608",
  DEV: "false",
};

/** The most that any of these may ever be under these settings and this many clients. */
const bounds: Readonly<Record<string, number>> = {
  nt_ws_open: 500,
  nt_ws_clients: 150,
  nt_ws_paused: 500,
  nt_ws_parked: 500,
  nt_ws_buffered_bytes: 268_435_456,
  nt_rooms_active: 400,
  nt_peers_active: 500,
  nt_codes_live: 2_000,
  nt_codes_resting: 2_000,
  nt_code_clients: 150,
  nt_guessers: 300,
  nt_shared_clients: 150,
  nt_mailboxes: 800,
  nt_mails: 50_000,
  nt_mailbox_bytes: 8_388_608,
  nt_held_frames: 10_000,
  nt_held_bytes: 8_388_608,
};

/** RSS past this is a leak, whatever else is in order. */
const maxRssMib = 1_024;

export interface Health {
  readonly rssMib: number;
  readonly rooms: number;
  /** Frames and requests that got as far as to be counted, since the start. */
  readonly heard: number;
}

/** A server that is being fuzzed, and a pair of peers on it that behave. */
export interface Subject extends AsyncDisposable {
  readonly url: URL;
  /** Throws what is wrong with it: it has ended, errors, doesn't relay, grew, or told too much. */
  check(): Promise<Health>;
  /** Waits until all but the pair are forgotten; throws what is left over. */
  empty(): Promise<void>;
}

export async function startSubject(): Promise<Subject> {
  const program = await Program.start(settings);
  const url = await program.listening();
  const pair = await openPair({ ws: `ws://${url.host}` });
  const first = await scrape(url);
  let round = 0;

  async function check(): Promise<Health> {
    await relays(pair, round++);
    const faults = program.log().filter(({ level }) => level === "error");
    if (faults.length > 0) throw new Error(`It logged ${JSON.stringify(faults[0])}`);
    if (program.stderr !== "") throw new Error(`It wrote ${program.stderr}`);
    const series = await scrape(url);
    for (const name of series.keys()) {
      if (!first.has(name)) throw new Error(`The series ${name} is new`);
    }
    for (const [name, most] of Object.entries(bounds)) {
      const value = series.get(name);
      if (value === undefined) throw new Error(`There is no ${name}`);
      if (!(value >= 0 && value <= most)) throw new Error(`${name} is ${value}, over ${most}`);
    }
    const overruns = series.get('nt_drops_total{reason="overrun"}');
    if (overruns !== 0) throw new Error(`${overruns} frames were dropped by the runtime`);
    const rssMib = Math.round(rssBytes(program.pid) / 1_048_576);
    if (rssMib > maxRssMib) throw new Error(`It takes ${rssMib} MiB`);
    let heard = 0;
    for (const [name, value] of series) {
      if (/^nt_(?:signal_messages|refusals|codes_\w+)_total/.test(name)) heard += value;
    }
    return { rssMib, rooms: series.get("nt_rooms_active") ?? 0, heard };
  }

  return {
    url,
    check,
    async empty() {
      let last = "";
      await until("everything to be forgotten", async () => {
        await check();
        const series = await scrape(url);
        const over = Object.entries(forgotten).filter(([name, most]) => {
          return (series.get(name) ?? 0) > most;
        });
        last = over.map(([name]) => `${name} ${series.get(name)}`).join(", ");
        return over.length === 0;
      }).catch((error: unknown) => {
        throw new Error(`${String(error)}: ${last}`);
      });
    },
    async [Symbol.asyncDispose]() {
      await pair[Symbol.asyncDispose]();
      await program[Symbol.asyncDispose]();
    },
  };
}

/** What may be left when only the pair is there. */
const forgotten: Readonly<Record<string, number>> = {
  nt_ws_open: 2,
  nt_ws_clients: 1,
  nt_ws_paused: 0,
  nt_ws_parked: 0,
  nt_ws_buffered_bytes: 0,
  nt_rooms_active: 1,
  nt_peers_active: 2,
  nt_codes_live: 0,
  nt_codes_resting: 0,
  nt_code_clients: 0,
  nt_mails: 0,
  nt_mailbox_bytes: 0,
  nt_held_frames: 0,
  nt_held_bytes: 0,
};

/** Frames go both ways, complete and in order, and nothing else comes. */
async function relays({ a, b }: Pair, round: number): Promise<void> {
  const frames = Array.from({ length: 20 }, (_, n) => JSON.stringify({ type: "ice", round, n }));
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    for (const frame of frames) from.send(frame);
    const heard = await to.nextTexts(frames.length);
    if (heard.join() !== frames.join()) throw new Error(`The pair heard ${heard.join()}`);
  }
  for (const peer of [a, b]) {
    const more = await peer.settled();
    if (more.length > 0) throw new Error(`The pair also heard ${JSON.stringify(more[0])}`);
  }
}
