import { until } from "../../support/waiting.ts";
import { cpuSeconds } from "../process-facts.ts";
import type { Figures, Job } from "./job.ts";

/** Units of work done so far. */
export type Counter = () => number;

/**
 * Lets the work run for a while without looking, then measures what it costs the server. Afterwards
 * the work goes on.
 */
export async function measure(
  { pid, warmSeconds, seconds }: Job,
  done: Counter,
  begin: () => void = () => {},
): Promise<Figures> {
  await Bun.sleep(warmSeconds * 1_000);
  begin();
  const before = { done: done(), at: performance.now(), server: cpuSeconds(pid), own: own() };
  await Bun.sleep(seconds * 1_000);
  // A run that only proves that it runs may be too short for one unit.
  await until("one unit of work", () => done() > before.done);
  const units = done() - before.done;
  const passed = (performance.now() - before.at) / 1_000;
  const cpu = cpuSeconds(pid) - before.server;
  return {
    cpu: (cpu * 1e6) / units,
    perSecond: units / passed,
    serverLoad: cpu / passed,
    generatorLoad: (own() - before.own) / passed,
  };
}

function own(): number {
  return cpuSeconds(process.pid);
}
