import { parseArgs } from "node:util";
import { mailboxClientsSurviveCuts, ownClientSurvivesCuts } from "./cuts.ts";
import { deploy } from "./deploy.ts";
import { descriptors } from "./descriptors.ts";
import { heldSockets } from "./held-sockets.ts";
import type { Scenario } from "./scenario.ts";
import { soak } from "./soak.ts";
import { stalledReaders } from "./stalled-readers.ts";
import { storm } from "./storm.ts";

// Puts the server under load: npm run load -- stalled --seed 1. Of soak and cuts there are as many
// sessions and cuts as one likes: npm run soak -- --sessions 1000000, npm run cuts -- --cuts 10000.

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    short: { type: "boolean", default: false },
    seed: { type: "string", default: String(Date.now() % 1_000_000_000) },
    sessions: { type: "string", default: "20000" },
    cuts: { type: "string", default: "1000" },
    pairs: { type: "string", default: "16" },
  },
});
const [seed, sessions, cuts, pairs] = [
  numberOf("seed"),
  numberOf("sessions"),
  numberOf("cuts"),
  numberOf("pairs"),
];

function numberOf(name: "seed" | "sessions" | "cuts" | "pairs"): number {
  const value = Number(values[name]);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  process.stderr.write(`--${name} must be a whole number.\n`);
  process.exit(2);
}

/** Run only by name: they take as long as one likes. */
const endless: Readonly<Record<string, Scenario>> = {
  soak: ({ say }) => soak({ seed, sessions, say }),
  async cuts({ say }) {
    for (const survive of [ownClientSurvivesCuts, mailboxClientsSurviveCuts]) {
      const { cuts: how, mails } = await survive({ seed, cuts, pairs });
      const { fin, reset, silent } = how;
      say(`${fin} ends, ${reset} resets, ${silent} silences; ${mails} mails`);
    }
    say("No mail was lost, repeated or out of order.");
  },
};
const scenarios: Readonly<Record<string, Scenario>> = {
  stalled: stalledReaders,
  sockets: heldSockets,
  descriptors,
  storm,
  deploy,
};

const names = positionals.length > 0 ? positionals : Object.keys(scenarios);
const say = (line: string) => void process.stdout.write(`${line}\n`);
for (const name of names) {
  const scenario = scenarios[name] ?? endless[name];
  if (scenario === undefined) {
    process.stderr.write(
      `There is no "${name}". Name some of ${Object.keys({ ...scenarios, ...endless }).join(", ")}\n`,
    );
    process.exit(2);
  }
  try {
    say(`${name}, seed ${seed}:`);
    await scenario({ short: values.short, seed, say });
  } catch (error) {
    process.stderr.write(`${name}: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  }
}
process.exit(0);
