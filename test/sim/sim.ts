import { parseArgs } from "node:util";
import { type Mutant, runMutants } from "./mutants.ts";
import { type Found, readRanges, report, shrink, simulateHours } from "./run.ts";
import type { Plan } from "./world.ts";

// Simulates the whole server: npm run sim -- --seed 7 --hours 2 --engine memory [--shrink]
// --faults failover: only these kinds of faults of nodes and Redis.
// Without --seed the seed is that of the day. --forever runs until stopped. --mutants proves that the checks
// find planted faults.

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    hours: { type: "string" },
    seconds: { type: "string" },
    engine: { type: "string" },
    faults: { type: "string" },
    "without-faults": { type: "string", default: "" },
    "without-rooms": { type: "string", default: "" },
    shrink: { type: "boolean", default: false },
    forever: { type: "boolean", default: false },
    mutants: { type: "boolean", default: false },
    only: { type: "string" },
  },
});

const say = (text: string) => process.stdout.write(`${text}\n`);

function numberOf(name: string, text: string): number {
  const number = Number(text);
  if (text.trim() !== "" && number >= 0) return number;
  process.stderr.write(`--${name} must be a number, not "${text}".\n`);
  process.exit(2);
}

function engineOf(text: string): Plan["engine"] {
  if (text === "memory" || text === "redis") return text;
  process.stderr.write(`--engine must be memory or redis, not "${text}".\n`);
  process.exit(2);
}

async function commit(): Promise<string> {
  const { stdout } = await Bun.$`git rev-parse --short HEAD`.nothrow().quiet();
  return stdout.toString().trim() || "unknown";
}

const unhandled: unknown[] = [];
process.on("unhandledRejection", (reason) => unhandled.push(reason));

/** Runs until the hours are over, the time is up, or a promise is broken. */
async function search(plan: Plan, hours: number, seconds: number): Promise<Found | undefined> {
  const startedAt = performance.now();
  let simulatedMs = 0;
  let saidAtS = 0;
  const faults = new Map<string, number>();
  for (let seed = plan.seed; ; seed++) {
    const found = simulateHours({ ...plan, seed }, 0.001, (_, outcome) => {
      simulatedMs += outcome.simulatedMs;
      for (const { kind } of outcome.faults) faults.set(kind, (faults.get(kind) ?? 0) + 1);
    });
    // Rejections are reported between two seeds.
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (unhandled.length > 0) throw unhandled[0];
    const realS = (performance.now() - startedAt) / 1_000;
    const simulatedH = simulatedMs / 3_600_000;
    const isOver = found !== undefined || simulatedH >= hours || realS >= seconds;
    if (isOver || realS - saidAtS >= 60) {
      saidAtS = realS;
      say(`${simulatedH.toFixed(1)} h in ${realS.toFixed(0)} s, up to seed ${seed}`);
    }
    if (isOver) say(`faults: ${Array.from(faults, ([kind, n]) => `${kind} ${n}`).join(", ")}`);
    if (isOver) return found;
  }
}

if (values.mutants) {
  const hours = numberOf("hours", values.hours ?? "60");
  const isMeant = ({ name, engine }: Mutant) =>
    name.includes(values.only ?? "") && engine === (values.engine ?? engine);
  const { caught, mutants } = await runMutants(isMeant, hours, say);
  process.exit(values.only === undefined && caught < (mutants * 27) / 30 ? 1 : 0);
}

const seedOfTheDay = Math.floor(Date.now() / 86_400_000) * 1_000_000;
const plan: Plan = {
  seed: numberOf("seed", values.seed ?? String(seedOfTheDay)),
  engine: engineOf(values.engine ?? "memory"),
  withoutFaults: readRanges(values["without-faults"]),
  withoutRooms: readRanges(values["without-rooms"]),
  ...(values.faults !== undefined && { onlyFaults: values.faults.split(",") }),
};
say(`seed ${plan.seed}, engine ${plan.engine}`);
const endless = Number.POSITIVE_INFINITY;
const isTimed = values.forever || values.seconds !== undefined;
const hours = isTimed ? endless : numberOf("hours", values.hours ?? "0.1");
const seconds = values.seconds === undefined ? endless : numberOf("seconds", values.seconds);
const found = await search(plan, hours, seconds);
if (found === undefined) {
  say("All is well.");
  process.exit(0);
}
const least = values.shrink ? shrink(found, say) : found;
process.stderr.write(report(least, await commit()));
process.exit(1);
