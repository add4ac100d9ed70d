import { parseArgs } from "node:util";
import { chaos } from "./scenario.ts";

// npm run chaos -- --seconds 60 --pairs 50 --seed 1 [--sentinel] [--loses]
const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    pairs: { type: "string", default: "50" },
    sentinel: { type: "boolean", default: false },
    loses: { type: "boolean", default: false },
    seed: { type: "string", default: String(Math.floor(performance.timeOrigin) % 1_000_000) },
  },
});
const say = (line: string) => void process.stdout.write(`${line}\n`);
const seed = Number(values.seed);
say(`seed ${seed}`);
const report = await chaos({
  seed,
  seconds: Number(values.seconds),
  pairs: Number(values.pairs),
  sentinel: values.sentinel,
  loses: values.loses,
  say,
});
say(JSON.stringify(report, undefined, 2));
process.exit(report.faults.length === 0 ? 0 : 1);
