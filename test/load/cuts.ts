import { parseArgs } from "node:util";
import {
  type CutsReport,
  mailboxClientsSurviveCuts,
  ownClientSurvivesCuts,
} from "./cuts-scenario.ts";

// Cuts connections at random, first of the project's own client, then of mailbox clients of the
// first dialect: npm run cuts -- --cuts 10000 --seed 1

const { values } = parseArgs({
  options: {
    cuts: { type: "string", default: "1000" },
    seed: { type: "string", default: String(Date.now() % 1_000_000_000) },
    pairs: { type: "string", default: "16" },
  },
});
const [cuts, seed, pairs] = [values.cuts, values.seed, values.pairs].map(Number) as [
  number,
  number,
  number,
];
if (![cuts, seed, pairs].every((value) => Number.isSafeInteger(value) && value >= 0)) {
  process.stderr.write("--cuts, --seed and --pairs must be whole numbers.\n");
  process.exit(2);
}

function say(who: string, { cuts: how, mails }: CutsReport): void {
  const { fin, reset, silent } = how;
  process.stdout.write(
    `${who}: ${fin} ends, ${reset} resets, ${silent} silences; ${mails} mails\n`,
  );
}

process.stdout.write(`seed ${seed}\n`);
try {
  say("own client", await ownClientSurvivesCuts({ seed, cuts, pairs }));
  say("mailbox clients", await mailboxClientsSurviveCuts({ seed, cuts, pairs }));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
process.stdout.write("No mail was lost, repeated or out of order.\n");
process.exit(0);
