import { allowedBy, type Setting, settingGroups, withoutEffect } from "../src/config/config.ts";
import { closeReasons } from "../src/protocol/closes.ts";
import { ownMetrics, storeMetrics } from "../src/telemetry/metrics.ts";
import { dropReasons } from "../src/telemetry/tally.ts";

// Brings what programs write in the documents up to date: bun docs/generate.ts

/** A part of a document that is written by a program, between its markers. */
export interface Section {
  /** Below docs/. */
  readonly file: string;
  readonly name: string;
  text(): string | Promise<string>;
}

export const sections: readonly Section[] = [
  { file: "settings.md", name: "settings", text: settingsByGroup },
  { file: "migrating.md", name: "without-effect", text: settingsWithoutEffect },
  { file: "metrics.md", name: "metrics", text: metricsList },
  { file: "metrics.md", name: "drops", text: () => reasonsTable(dropReasons) },
  { file: "metrics.md", name: "closes", text: () => reasonsTable(closeReasons) },
];

export function documentPath(file: string): string {
  return `${import.meta.dir}/${file}`;
}

/** Throws when the document doesn't have the markers. */
export async function writeSection(file: string, name: string, section: string): Promise<void> {
  const path = documentPath(file);
  const updated = withSection(await Bun.file(path).text(), name, section);
  if (updated === undefined) {
    throw new Error(`docs/${file} has no markers <!-- ${name}:begin --> and <!-- ${name}:end -->`);
  }
  await Bun.write(path, updated);
}

/**
 * The text with the section between `<!-- name:begin -->` and `<!-- name:end -->` replaced.
 * Undefined when it doesn't hold both markers, in this order.
 */
export function withSection(text: string, name: string, section: string): string | undefined {
  const begin = `<!-- ${name}:begin -->`;
  const start = text.indexOf(begin);
  const end = text.indexOf(`<!-- ${name}:end -->`, start);
  if (start < 0 || end < 0) return undefined;
  return `${text.slice(0, start + begin.length)}\n\n${section}\n\n${text.slice(end)}`;
}

// ---- settings ----

function settingsByGroup(): string {
  return settingGroups
    .map(({ title, settings: group }) => `## ${title}\n\n${group.map(settingItem).join("\n")}`)
    .join("\n\n");
}

function settingsWithoutEffect(): string {
  return withoutEffect
    .map(({ variables, why }) => `- ${variables.map((one) => `\`${one}\``).join(", ")}: ${why}.`)
    .join("\n");
}

function settingItem(setting: Setting): string {
  const byDefault = setting.default === "" ? "not set" : `\`${setting.default}\``;
  const allowed = `Must be ${allowedBy(setting.schema)}.`.replaceAll("*", "\\*");
  return item(`${names(setting)} · ${byDefault}`, `${setting.help}. ${allowed}`);
}

function names({ variable, aliases = [] }: Setting): string {
  return [variable, ...aliases].map((name) => `\`${name}\``).join(", also ");
}

// ---- metrics ----

function metricsList(): string {
  return Object.entries({ ...ownMetrics, ...storeMetrics })
    .map(([name, { kind, help, labels }]) =>
      item(`\`${name}\` · ${kind}`, [`${help}.`, ...Object.entries(labels).map(label)].join(" ")),
    )
    .join("\n");
}

function label([name, values]: [string, readonly (string | number)[]]): string {
  if (values.length === 0) return `Label \`${name}\`.`;
  return `\`${name}\`: ${values.map((value) => `\`${value}\``).join(", ")}.`;
}

function reasonsTable(reasons: Readonly<Record<string, string>>): string {
  const rows = Object.entries(reasons).map(([reason, what]) => `| \`${reason}\` | ${what} |`);
  return ["| reason | what happened |", "| --- | --- |", ...rows].join("\n");
}

// ---- Markdown ----

const lineWidth = 105;

/** A list item: a line of its own, and text below it. */
function item(heading: string, text: string): string {
  return [`- ${heading}  `, ...wrapped(text)].join("\n  ");
}

/** No line begins with a sign that would make it a list item. */
function wrapped(text: string): string[] {
  const lines = [""];
  for (const word of text.split(/ (?![-+*] )/)) {
    const line = `${lines.at(-1)} ${word}`.trimStart();
    if (line.length > lineWidth) lines.push(word);
    else lines[lines.length - 1] = line;
  }
  return lines;
}

if (import.meta.main) {
  for (const { file, name, text } of sections) await writeSection(file, name, await text());
}
