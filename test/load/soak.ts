import { parseArgs } from "node:util";
import { soak } from "./soak-run.ts";

// Sessions without end, many of them cut off: npm run soak -- --sessions 1000000 --seed 1

const { values } = parseArgs({
  options: {
    sessions: { type: "string", default: "20000" },
    seed: { type: "string", default: String(Date.now() % 1_000_000_000) },
  },
});
const [sessions, seed] = [Number(values.sessions), Number(values.seed)];
if (![sessions, seed].every((value) => Number.isSafeInteger(value) && value >= 0)) {
  process.stderr.write("--sessions and --seed must be whole numbers.\n");
  process.exit(2);
}
const say = (line: string) => void process.stdout.write(`${line}\n`);
say(`seed ${seed}`);
try {
  await soak({ seed, sessions, say });
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
process.exit(0);
