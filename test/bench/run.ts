import { join } from "node:path";
import { redisMissing, TestRedis } from "../support/redis.ts";
import { within } from "../support/waiting.ts";
import { endsWithUs } from "./children.ts";
import { contenders } from "./contenders.ts";
import { type NodesFigures, nodesExperiments, sessionsOnNodes } from "./nodes.ts";
import { rssBytes } from "./process-facts.ts";
import { type Experiment, experiments, type Row } from "./rows.ts";
import { type Spread, spread } from "./statistics.ts";
import { pinned, startSubject } from "./subject.ts";
import type { Figures, Job } from "./workloads/job.ts";

export interface BenchOptions {
  /** Small work in little time: it proves that all of it runs, and its figures mean nothing. */
  readonly quick: boolean;
  /** Names of rows; none: all. */
  readonly only: readonly string[];
  readonly reps: number;
  /** How long one run is measured. */
  readonly seconds: number;
  /** Another build of the server, which takes the floor's place. */
  readonly beside?: string | undefined;
  /** Hears what is being done. */
  readonly onRun?: (what: string) => void;
}

export interface Result {
  readonly row: Row;
  /** Undefined where no floor does the like. */
  readonly floor?: Spread;
  readonly server: Spread;
  /** Server to floor, run by run. */
  readonly ratio?: Spread;
}

/** Servers are kept to the one core, the generator to the other. */
const [serverCore, generatorCore] = [0, 1];

const startRows: readonly (Row & {
  readonly contender: "binary" | "source";
  readonly figure: "start" | "rss";
})[] = [
  {
    name: "start-binary",
    title: "start to first 200, binary",
    figure: "start",
    unit: "ms",
    aim: { kind: "most", limit: 25 },
    contender: "binary",
  },
  {
    name: "start-source",
    title: "start to first 200, from source",
    figure: "start",
    unit: "ms",
    aim: { kind: "most", limit: 200 },
    contender: "source",
  },
  {
    name: "idle",
    title: "memory at rest after the start, binary",
    figure: "rss",
    unit: "MiB",
    aim: { kind: "most", limit: 42 },
    contender: "binary",
  },
];

export const rowNames: readonly string[] = [
  ...experiments.flatMap(({ rows }) => rows.map(({ name }) => name)),
  ...startRows.map(({ name }) => name),
  ...nodesExperiments.flatMap(({ rows }) => rows.map(({ name }) => name)),
];

/**
 * The server beside the floor, in turns: what changes on the machine from minute to minute changes
 * both. Throws when anything was lost, changed or refused.
 */
export async function bench(options: BenchOptions): Promise<readonly Result[]> {
  const { quick, only, reps, beside, onRun } = options;
  await using all = await contenders(!quick);
  const floorCommand = beside === undefined ? all.floor : [beside];
  const wanted = ({ name }: Row) => only.length === 0 || only.includes(name);
  const results: Result[] = [];
  for (const experiment of experiments) {
    const rows = experiment.rows.filter(wanted);
    if (rows.length === 0) continue;
    const floor: Figures[] = [];
    const server: Figures[] = [];
    for (let rep = 0; rep < reps; rep++) {
      onRun?.(`${rows[0]?.title}: run ${rep + 1} of ${reps}`);
      floor.push(await runOnce(experiment, options, floorCommand, beside !== undefined));
      server.push(await runOnce(experiment, options, all.binary, true));
    }
    for (const row of rows) {
      const of = (figures: Figures) => inUnit(figures[row.figure] ?? Number.NaN, row.unit);
      results.push(compared(row, floor.map(of), server.map(of)));
    }
  }
  for (const row of startRows.filter(wanted)) {
    onRun?.(row.title);
    const floor: number[] = [];
    const server: number[] = [];
    for (let rep = 0; rep < Math.max(reps, quick ? 1 : 10); rep++) {
      floor.push(await startOnce(floorCommand, row));
      server.push(await startOnce(all[row.contender], row));
    }
    results.push(compared(row, floor, server));
  }
  return [...results, ...(await onNodes(options, all.binary, wanted))];
}

/** Beside another build alone: there is no floor for what several nodes do. */
async function onNodes(
  { quick, reps, seconds, beside, onRun }: BenchOptions,
  binary: readonly string[],
  wanted: (row: Row) => boolean,
): Promise<readonly Result[]> {
  if (redisMissing) return [];
  const results: Result[] = [];
  await using redis = await TestRedis.start();
  const times = quick ? { warmSeconds: 0.2, seconds: 0.2 } : { warmSeconds: 1, seconds };
  for (const { apart, rows } of nodesExperiments) {
    const asked = rows.filter(wanted);
    if (asked.length === 0) continue;
    const other: NodesFigures[] = [];
    const server: NodesFigures[] = [];
    for (let rep = 0; rep < reps; rep++) {
      onRun?.(`${asked[0]?.title}: run ${rep + 1} of ${reps}`);
      if (beside) other.push(await sessionsOnNodes({ command: [beside], redis, apart, ...times }));
      server.push(await sessionsOnNodes({ command: binary, redis, apart, ...times }));
    }
    for (const row of asked) {
      const of = (figures: NodesFigures) => figures[row.figure];
      results.push(
        beside
          ? compared(row, other.map(of), server.map(of))
          : { row, server: spread(server.map(of)) },
      );
    }
  }
  return results;
}

function compared(row: Row, floor: readonly number[], server: readonly number[]): Result {
  const ratios = server.map((value, i) => value / (floor[i] as number));
  return { row, floor: spread(floor), server: spread(server), ratio: spread(ratios) };
}

/** A server of its own for each run: none suffers from the one before. */
async function runOnce(
  { work, quick: quickWork, env = {} }: Experiment,
  { quick, seconds }: BenchOptions,
  command: readonly string[],
  whole: boolean,
): Promise<Figures> {
  await using subject = await startSubject({ command, env, core: serverCore });
  // It has just started: let it come to rest, so that its memory is that of an idle server.
  await Bun.sleep(quick ? 50 : 300);
  const { port, pid } = subject;
  const [warmSeconds, measured] = quick ? [0.05, 0.2] : [0.7, seconds];
  const todo = quick ? quickWork : work;
  return await generate({ port, pid, whole, warmSeconds, seconds: measured, work: todo });
}

async function generate(job: Job): Promise<Figures> {
  const generator = join(import.meta.dir, "generator.ts");
  const command = pinned(generatorCore, [process.execPath, generator, JSON.stringify(job)]);
  const child = endsWithUs(Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "pipe" }));
  try {
    const texts = Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    const [figures, fault, code] = await within(`${job.work.kind} to be done`, texts, 180_000);
    if (code !== 0) throw new Error(`${job.work.kind}: ${fault.trim()}`);
    return JSON.parse(figures) as Figures;
  } finally {
    child.kill("SIGKILL");
  }
}

/** By then the garbage of the start is collected. */
const comesToRestMs = 2_500;

async function startOnce(
  command: readonly string[],
  { figure, unit }: (typeof startRows)[number],
): Promise<number> {
  await using subject = await startSubject({ command, core: serverCore });
  if (figure === "start") return subject.startMs;
  await Bun.sleep(comesToRestMs);
  return inUnit(rssBytes(subject.pid), unit);
}

function inUnit(value: number, unit: Row["unit"]): number {
  return unit === "MiB" ? value / 2 ** 20 : value;
}
