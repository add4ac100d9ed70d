import { join } from "node:path";
import type { AttackCase } from "./attack-case.ts";

const document = join(import.meta.dir, "../../docs/attacks.md");
const heading = "# Attacks that are tried\n";

/** Writes the table of attacks below the heading of docs/attacks.md. */
export async function writeTable(cases: readonly AttackCase[]): Promise<void> {
  const text = await Bun.file(document).text();
  const at = text.indexOf(heading);
  if (at === -1) throw new Error(`docs/attacks.md has no heading "${heading.trim()}".`);
  await Bun.write(document, text.slice(0, at + heading.length) + tableOf(cases));
}

/** What stands below the heading. */
export function tableOf(cases: readonly AttackCase[]): string {
  const rows = cases.map(({ name, tries, bound }) => `| \`${name}\` | ${tries} | ${bound} |`);
  return `
Each bound of [security](security.md) is attacked as strangers would attack it. \`npm run attack\` starts a server for
each case, prints what it measured beside the bound, and fails if one does not hold. \`--only guessing,work-pongs\`
picks some, \`--server PATH\` attacks another checkout or binary, \`--short\` leaves out slow cases, and \`--table\`
writes this table. The tests run what \`--short\` runs, except for delays. Who keeps or loses
[its seat](security.md#liveness) is tested in virtual time, by \`test/e2e/takeover.test.ts\`.

| case | what is tried | what must hold |
| ---- | ------------- | -------------- |
${rows.join("\n")}
`;
}
