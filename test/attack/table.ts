import { join } from "node:path";
import type { AttackCase } from "./attack-case.ts";

const document = join(import.meta.dir, "../../docs/security.md");
const heading = "## Attacks that are tried\n";

/** Writes the table of attacks below its heading in docs/security.md, which is the document's last. */
export async function writeTable(cases: readonly AttackCase[]): Promise<void> {
  const text = await Bun.file(document).text();
  const at = text.indexOf(heading);
  if (at === -1) throw new Error(`docs/security.md has no heading "${heading.trim()}".`);
  await Bun.write(document, text.slice(0, at + heading.length) + tableOf(cases));
}

/** What stands below the heading. */
export function tableOf(cases: readonly AttackCase[]): string {
  const rows = cases.map(({ name, tries, bound }) => `| \`${name}\` | ${tries} | ${bound} |`);
  return `
\`npm run attack\` starts a server of its own for each of these, attacks it as strangers would, prints
what it measured beside the bound, and fails where one is broken; \`--only guessing,work-pongs\` picks
some, \`--server PATH\` attacks another checkout or binary, \`--short\` leaves out what takes long, and
\`--table\` writes this table. What \`--short\` runs is among the tests, but for delays.

| case | what is tried | what must hold |
| ---- | ------------- | -------------- |
${rows.join("\n")}
`;
}
