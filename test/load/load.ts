import { parseArgs } from "node:util";
import { deploy } from "./deploy.ts";
import { descriptors } from "./descriptors.ts";
import { heldMemory } from "./held-memory.ts";
import { heldSockets } from "./held-sockets.ts";
import type { Scenario } from "./scenario.ts";
import { stalledReaders } from "./stalled-readers.ts";
import { storm } from "./storm.ts";

// Puts the server under load: npm run load -- stalled --seed 1

const scenarios: Readonly<Record<string, Scenario>> = {
  stalled: stalledReaders,
  sockets: heldSockets,
  descriptors,
  storm,
  deploy,
  memory: heldMemory,
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    short: { type: "boolean", default: false },
    seed: { type: "string", default: "1" },
  },
});
const names = positionals.length > 0 ? positionals : Object.keys(scenarios);
const say = (line: string) => void process.stdout.write(`${line}\n`);
for (const name of names) {
  const scenario = scenarios[name];
  if (scenario === undefined) {
    process.stderr.write(
      `There is no "${name}". Name some of ${Object.keys(scenarios).join(", ")}\n`,
    );
    process.exit(2);
  }
  try {
    say(`${name}:`);
    await scenario({ short: values.short, seed: Number(values.seed), say });
  } catch (error) {
    process.stderr.write(`${name}: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  }
}
process.exit(0);
