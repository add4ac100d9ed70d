import { cpuSeconds, rssBytes } from "../process-facts.ts";
import type { Figures, Job, Work } from "./job.ts";
import { openPairs } from "./pairs.ts";

/**
 * Opens sockets in rooms of two; they then do nothing. Figures by the mark's index, and for those that
 * are opened again, by code that has run often.
 */
export async function sockets(
  job: Job,
  { marks, holdSeconds, again }: Extract<Work, { kind: "sockets" }>,
): Promise<Figures> {
  const figures: Record<string, number> = {};
  const before = rssBytes(job.pid);
  const pairs = openPairs(job);
  let cpu = 0;
  for (const [i, mark] of marks.entries()) {
    const startedAt = cpuSeconds(job.pid);
    await pairs.grow(mark / 2);
    cpu += cpuSeconds(job.pid) - startedAt;
    figures[`cpu${i}`] = (cpu * 1e6) / mark;
    await Bun.sleep(holdSeconds * 1_000);
    figures[`rss${i}`] = (rssBytes(job.pid) - before) / mark;
  }
  const failure = pairs.failure();
  if (failure !== undefined) throw failure;
  pairs.terminate();
  await Bun.sleep(holdSeconds * 1_000);
  const startedAt = cpuSeconds(job.pid);
  const others = openPairs(job);
  await others.grow(again / 2);
  figures["cpuAgain"] = ((cpuSeconds(job.pid) - startedAt) * 1e6) / again;
  others.terminate();
  return figures;
}
