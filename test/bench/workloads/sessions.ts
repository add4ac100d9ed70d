import { until, within } from "../../support/waiting.ts";
import { rssBytes } from "../process-facts.ts";
import type { Figures, Job, Work } from "./job.ts";
import { measure } from "./measure.ts";
import { sessionSlots } from "./session-slots.ts";

export async function sessions(
  job: Job,
  { slots }: Extract<Work, { kind: "sessions" }>,
): Promise<Figures> {
  const running = await sessionSlots({ ...job, slots });
  const figures = await measure(job, running.done);
  await ended(running.end(), running.failure);
  return figures;
}

/** What memory is left when many sessions have come and gone. */
export async function memory(
  { port, pid, whole }: Job,
  { slots, sessions: most, settleSeconds }: Extract<Work, { kind: "memory" }>,
): Promise<Figures> {
  const before = rssBytes(pid);
  const running = await sessionSlots({ port, whole, slots, most });
  await until(
    `${most} sessions`,
    () => {
      const failure = running.failure();
      if (failure !== undefined) throw failure;
      return running.done() >= most;
    },
    120_000,
  );
  await ended(running.end(), running.failure);
  const peak = rssBytes(pid);
  await Bun.sleep(settleSeconds * 1_000);
  return { growth: rssBytes(pid) - before, peakGrowth: peak - before };
}

async function ended(rest: Promise<void>, failureOf: () => Error | undefined): Promise<void> {
  const failure = failureOf();
  if (failure !== undefined) throw failure;
  await within("the last sessions", rest, 10_000);
  const late = failureOf();
  if (late !== undefined) throw late;
}
