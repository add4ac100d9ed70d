import { stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

// Attacks a server as strangers would, with bounds on what it may cost the others:
//   npm run attack -- --only guessing,memory-parked --server dist/nt-signal
// --short leaves out what takes long, --table writes the table of docs/attacks.md.

const { values } = parseArgs({
  options: {
    server: { type: "string" },
    only: { type: "string" },
    short: { type: "boolean", default: false },
    table: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});

function fail(words: string): never {
  process.stderr.write(`${words}\n`);
  process.exit(2);
}

if (values.server !== undefined) {
  const path = resolve(values.server);
  const found = await stat(path).catch(() => fail(`There is no ${values.server}.`));
  process.env["NT_SIGNAL_BINARY"] = found.isDirectory() ? join(path, "src/main.ts") : path;
}

// Loaded now: what they load reads that variable.
const { cases } = await import("./cases.ts");
const { attempt, missingFor } = await import("./run.ts");

if (values.table) {
  const { writeTable } = await import("./table.ts");
  await writeTable(cases);
  process.exit(0);
}

/** By name, by the beginning of names or by theme. */
const wanted = values.only?.split(",");
for (const word of wanted ?? []) {
  if (!cases.some(({ name, theme }) => theme === word || name.startsWith(word))) {
    fail(`There is no case "${word}". Name some of ${cases.map(({ name }) => name).join(", ")}.`);
  }
}
const chosen = cases.filter(
  ({ name, theme, short }) =>
    (!values.short || short) &&
    (wanted?.some((word) => theme === word || name === word || name.startsWith(`${word}-`)) ??
      true),
);

const say = (line: string) => void process.stdout.write(`${line}\n`);
let broken = 0;
let tried = 0;
for (const attack of chosen) {
  const missing = missingFor(attack);
  if (missing !== undefined) {
    say(`left out  ${attack.name}: ${missing}`);
    continue;
  }
  const verdict = await attempt(attack);
  if (values.json) {
    process.stdout.write(JSON.stringify(verdict));
    process.exit(0);
  }
  tried++;
  if (!verdict.holds) broken++;
  say(`${verdict.holds ? "holds   " : "BROKEN  "}  ${attack.name}: ${attack.tries}`);
  say(`            bound     ${attack.bound}`);
  say(`            measured  ${verdict.measured}`);
}
say(`${tried} tried, ${broken} broken`);
process.exit(broken === 0 ? 0 : 1);
