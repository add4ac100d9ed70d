import { rssBytes } from "../bench/process-facts.ts";
import { chance } from "../support/chance.ts";
import { scrape } from "../support/metrics.ts";
import { startServer } from "./server.ts";
import { SessionLives } from "./session-life.ts";

export interface SoakOptions {
  readonly seed: number;
  readonly sessions: number;
  /** After each part all sizes are looked at; 10 unless told otherwise. */
  readonly parts?: number;
  readonly say: (line: string) => void;
}

/** Everything is forgotten soon, so that what is not shows. */
const settings = { ROOM_TTL: "1s", RELAY_HOLD: "1s", HEARTBEAT: "500ms", REDEEM_WINDOW: "1s" };
const atOnce = 64;
/** What memory may grow by after the first tenth: less than a promise for each of a million. */
const slackBytes = 64 * 1_048_576;
/** When all have left, the last are forgotten within this. */
const forgottenMs = 15_000;

/** What grows when something is not forgotten. */
const gauges = [
  "nt_ws_open",
  "nt_ws_clients",
  "nt_ws_paused",
  "nt_ws_parked",
  "nt_rooms_active",
  "nt_peers_active",
  "nt_codes_live",
  "nt_codes_resting",
  "nt_code_clients",
  "nt_guessers",
  "nt_mailboxes",
  "nt_mails",
  "nt_mailbox_bytes",
  "nt_held_frames",
  "nt_held_bytes",
  "nt_ws_buffered_bytes",
] as const;

interface Sample {
  readonly rss: number;
  readonly series: ReadonlyMap<string, number>;
}

/**
 * Session after session, with cuts. After each part everybody has left, and soon nothing is kept:
 * not a room, code, mail or client. Neither memory nor the number of series may grow after the
 * first part. Session n is drawn from seed + n.
 */
export async function soak({ seed, sessions, parts = 10, say }: SoakOptions): Promise<void> {
  await using server = await startServer(settings);
  const slots = Array.from({ length: atOnce }, () => new SessionLives(server.port));
  await Promise.all(slots.map((slot) => slot.connect()));
  const startedAt = performance.now();
  let begun = 0;
  let first: Sample | undefined;

  for (let part = 1; part <= parts; part++) {
    const until = Math.round((sessions * part) / parts);
    await Promise.all(
      slots.map(async (slot) => {
        while (begun < until) {
          const number = begun++;
          try {
            await slot.live(chance(seed + number));
          } catch (error) {
            const again = `npm run soak -- --seed ${seed + number} --sessions 1`;
            throw new Error(`Session ${number}: ${String(error)}\nTo see it alone: ${again}`);
          }
        }
      }),
    );
    const most = await scrape(server.http);
    const peak = rssBytes(server.pid);
    const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
    const series = await forgotten(server.http);
    const sample = { series, rss: rssBytes(server.pid) };
    const [before, after] = [peak, sample.rss].map((bytes) => (bytes / 1e6).toFixed(0));
    say(
      `${seconds} s: ${begun} sessions, ${most.get("nt_rooms_active")} rooms and ${before} MB, ` +
        `then none and ${after} MB, ${series.size} series`,
    );
    first ??= sample;
    checkFlat(first, sample);
  }
  for (const slot of slots) slot.close();
}

function checkFlat(first: Sample, now: Sample): void {
  const fresh = [...now.series.keys()].filter((name) => !first.series.has(name));
  if (fresh.length > 0) throw new Error(`Series are new: ${fresh.join(", ")}`);
  if (now.rss > first.rss + slackBytes) {
    throw new Error(`Memory grew from ${first.rss} to ${now.rss} bytes`);
  }
}

/** Waits until nothing is kept any more. */
async function forgotten(http: string): Promise<Sample["series"]> {
  const until = performance.now() + forgottenMs;
  for (;;) {
    const series = await scrape(http);
    const left = gauges.filter((name) => series.get(name) !== 0);
    if (left.length === 0) return series;
    if (performance.now() > until) {
      throw new Error(`Left over: ${left.map((n) => `${n} ${series.get(n)}`).join(", ")}`);
    }
    await Bun.sleep(100);
  }
}
