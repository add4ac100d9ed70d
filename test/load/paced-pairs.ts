import { padded, textFrame } from "../bench/frames.ts";
import { Latencies } from "../bench/statistics.ts";
import { openPairs, roomFullBytes } from "../bench/workloads/pairs.ts";
import { until } from "../support/waiting.ts";

const frameBytes = 256;
const frame = textFrame(padded('{"type":"ice","candidate":"', frameBytes));
const tickMs = 5;

/** ms, from one peer to the other. */
export interface Delay {
  readonly frames: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Pairs that talk at a steady pace, as people's browsers do, whatever the server does. */
export interface PacedPairs extends Disposable {
  /** So many frames a second in all, from every A in turn. Throws when one does not arrive. */
  talk(framesPerSecond: number, seconds: number): Promise<Delay>;
}

export async function pacedPairs(port: number, count: number): Promise<PacedPairs> {
  const latencies = new Latencies(2_000_000);
  /** When the frames under way were sent, by room, oldest first. */
  const sentAt: number[][] = Array.from({ length: count }, () => []);
  let sent = 0;
  let heard = 0;
  let wrong = 0;
  const pairs = openPairs({
    port,
    heard: {
      text({ room, side }, _, start, end) {
        if (end - start === roomFullBytes) return;
        const at = sentAt[room]?.shift();
        if (end - start !== frameBytes || side === "A" || at === undefined) wrong++;
        else latencies.add(performance.now() - at);
        heard++;
      },
    },
  });
  await pairs.grow(count);

  function send(): void {
    const room = sent++ % count;
    sentAt[room]?.push(performance.now());
    pairs.rooms[room]?.[0].send(frame);
  }

  return {
    async talk(framesPerSecond, seconds) {
      latencies.clear();
      const before = sent;
      const startedAt = performance.now();
      const due = () => ((performance.now() - startedAt) / 1_000) * framesPerSecond;
      while (performance.now() - startedAt < seconds * 1_000) {
        for (const until = before + due(); sent < until; ) send();
        await Bun.sleep(tickMs);
      }
      await until("the frames under way", () => heard >= sent, 20_000);
      const failure = pairs.failure();
      if (failure !== undefined) throw failure;
      if (heard !== sent || wrong > 0) {
        throw new Error(`Of ${sent} frames ${heard} came, ${wrong} of them changed`);
      }
      const [p50, p99, max] = [0.5, 0.99, 1].map((share) => latencies.quantile(share)) as [
        number,
        number,
        number,
      ];
      return { frames: sent - before, p50, p99, max };
    },
    [Symbol.dispose]: () => pairs.terminate(),
  };
}
