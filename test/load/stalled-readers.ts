import { padded, repeated, textFrame } from "../bench/frames.ts";
import { openPairs } from "../bench/workloads/pairs.ts";
import { scrape } from "../support/metrics.ts";
import { type Delay, pacedPairs } from "./paced-pairs.ts";
import type { Scenario } from "./scenario.ts";
import { startServer } from "./server.ts";

/** Far more than the kernel and the server will hold for one reader. */
const flood = repeated(textFrame(padded('{"type":"ice","candidate":"', 4_096)), 3_000);

/**
 * Readers that have stopped reading, and senders that don't stop sending to them, beside healthy
 * pairs: what is the delay of those, before and meanwhile?
 */
export const stalledReaders: Scenario = async ({ short, say }) => {
  const [healthy, stalled] = short ? [50, 10] : [1_000, 100];
  const [rate, seconds] = short ? [500, 0.5] : [5_000, 10];
  await using server = await startServer();
  using pairs = await pacedPairs(server.port, healthy);
  await pairs.talk(rate, seconds / 5);
  const without = await pairs.talk(rate, seconds);
  say(`${healthy} healthy pairs alone: ${told(without)}`);

  const others = openPairs({ port: server.port });
  await others.grow(stalled);
  for (const [sender, reader] of others.rooms) {
    reader.pause();
    sender.send(flood);
  }
  await pairs.talk(rate, seconds / 5);
  const beside = await pairs.talk(rate, seconds);
  const series = await scrape(server.http);
  const paused = series.get("nt_ws_paused") ?? 0;
  say(`beside ${stalled} stalled readers: ${told(beside)}`);
  say(`p99 ${(beside.p99 / without.p99).toFixed(2)} × that without them (aim: ≤ 2)`);
  say(`${paused} senders held back, ${series.get("nt_ws_buffered_bytes")} bytes buffered`);
  const failure = others.failure();
  if (failure !== undefined) throw failure;
  if (paused < stalled) throw new Error(`Only ${paused} of ${stalled} senders are held back`);
  const dropped = series.get('nt_drops_total{reason="overrun"}') ?? Number.NaN;
  if (dropped !== 0) throw new Error(`${dropped} frames were dropped by the runtime`);
  others.terminate();
};

export function told({ frames, p50, p99, max }: Delay): string {
  const [a, b, c] = [p50, p99, max].map((ms) => ms.toFixed(2));
  return `${frames} frames, p50 ${a} ms, p99 ${b} ms, max ${c} ms`;
}
