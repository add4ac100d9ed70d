import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { writeSection } from "../../docs/generate.ts";
import { comparison, markdown, type Report, reportOf } from "./report.ts";
import { bench, rowNames } from "./run.ts";

// Measures the server beside a floor: npm run bench -- --only relay,open --reps 3
// A table comes out at the end, and a JSON file. --write puts the table into docs/performance.md,
// --beside BINARY puts another build in the floor's place, --compare FILE tells what changed since
// that JSON file was written.

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    reps: { type: "string" },
    seconds: { type: "string", default: "4" },
    out: { type: "string", default: join(import.meta.dir, "../../dist/bench.json") },
    write: { type: "boolean", default: false },
    beside: { type: "string" },
    compare: { type: "string" },
  },
});

function fail(why: string): never {
  process.stderr.write(`${why}\n`);
  process.exit(1);
}

const only = values.only.split(",").filter((name) => name !== "");
const unknown = only.filter((name) => !rowNames.includes(name));
if (unknown.length > 0) fail(`There is no row ${unknown.join(", ")}. Rows: ${rowNames.join(", ")}`);
const reps = Number(values.reps ?? (values.quick ? 1 : 5));
const seconds = Number(values.seconds);
if (!(Number.isInteger(reps) && reps > 0)) fail("--reps must be a whole number above 0.");
if (!(seconds > 0)) fail("--seconds must be above 0.");

/** Read first: a name that is wrong is told before the work, not after it. */
const earlier =
  values.compare === undefined
    ? undefined
    : ((await Bun.file(values.compare)
        .json()
        .catch(() =>
          fail(`--compare: ${values.compare} is no report of this benchmark.`),
        )) as Report);
const { beside } = values;
if (beside !== undefined && !(await Bun.file(beside).exists())) fail(`--beside: no ${beside}.`);
if (beside !== undefined && values.write) fail("--write is for figures beside the floor.");

try {
  const onRun = (what: string) => process.stderr.write(`${what}\n`);
  const report = reportOf(
    await bench({ quick: values.quick, only, reps, seconds, beside, onRun }),
    reps,
  );
  await mkdir(dirname(values.out), { recursive: true });
  await Bun.write(values.out, `${JSON.stringify(report, undefined, 2)}\n`);
  process.stdout.write(`${markdown(report, beside === undefined ? "floor" : "other build")}\n`);
  if (earlier !== undefined) process.stdout.write(`\n${comparison(earlier, report)}\n`);
  if (values.write) await writeSection("performance.md", "figures", markdown(report));
} catch (error) {
  fail(error instanceof Error ? error.message : String(error));
}
process.exit(0);
