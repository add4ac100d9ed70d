import { type Setting, settingGroups, settings } from "../src/config/config.ts";
import { metrics } from "../src/telemetry/metrics.ts";
import { Tally } from "../src/telemetry/tally.ts";

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
  return settings
    .filter((setting) => setting.noMeaning !== undefined)
    .map((setting) => `- ${names(setting)}: ${setting.noMeaning}.`)
    .join("\n");
}

function settingItem(setting: Setting): string {
  const byDefault = setting.default === "" ? "not set" : `\`${setting.default}\``;
  const allowed = `Must be ${setting.schema.description}.`.replaceAll("*", "\\*");
  return item(`${names(setting)} · ${byDefault}`, `${setting.help}. ${allowed}`);
}

function names({ variable, aliases = [] }: Setting): string {
  return [variable, ...aliases].map((name) => `\`${name}\``).join(", also ");
}

// ---- metrics ----

/** Every series as the server with Redis tells it, read from the text that Prometheus reads. */
async function metricsList(): Promise<string> {
  const lines = (await everyMetric()).split("\n");
  const found = lines.flatMap((line) => /^# HELP (nt_\w+) (.*)$/.exec(line)?.slice(1, 3) ?? []);
  const items: string[] = [];
  for (let at = 0; at < found.length; at += 2) {
    const [name = "", help = ""] = found.slice(at, at + 2);
    const type = lines
      .find((line) => line.startsWith(`# TYPE ${name} `))
      ?.split(" ")
      .at(-1);
    items.push(item(`\`${name}\` · ${type}`, [`${help}.`, ...labelsOf(name, lines)].join(" ")));
  }
  return items.join("\n");
}

/** Each label with its values, but for those that tell a fact of the server: they have any. */
function labelsOf(name: string, lines: readonly string[]): string[] {
  const values = new Map<string, Set<string>>();
  const series = new RegExp(`^${name}(?:_bucket|_sum|_count)?\\{(.*)\\} `);
  for (const line of lines) {
    for (const [, label = "", value = ""] of (series.exec(line)?.[1] ?? "").matchAll(
      /(\w+)="(.*?)"/g,
    )) {
      if (label !== "le") values.set(label, (values.get(label) ?? new Set()).add(value));
    }
  }
  return [...values].map(([label, each]) =>
    each.size === 1
      ? `Label \`${label}\`.`
      : `\`${label}\`: ${[...each].map((value) => `\`${value}\``).join(", ")}.`,
  );
}

function everyMetric(): Promise<string> {
  const limiter = { size: () => 0, uncounted: () => 0 };
  return metrics({
    tally: new Tally(),
    sizes: () => ({
      ...{ codesLive: 0, codesResting: 0, codeClients: 0, guessers: 0, rooms: 0, peers: 0 },
      ...{ mailboxes: 0, mails: 0, mailBytes: 0, idBytes: 0 },
      ...{ heldFrames: 0, heldBytes: 0, ringBytes: 0 },
    }),
    limiters: () => ({ http: limiter, ws: limiter, ice: limiter, ice_side: limiter }),
    deferredRequests: () => 0,
    queuedBytes: () => 0,
    fairQueue: { waiting: () => 0, largeMs: 0 },
    monotonicMs: () => 0,
    maxAgeMs: 0,
    process: {
      ...{ version: "", bun: "", node: "", engine: "redis", maxSockets: 0 },
      sockets: () => 0,
      socketClients: () => 0,
      sharedClients: () => 0,
      httpConnections: { size: () => 0, refused: () => 0 },
      guessing: () => ({ recentMisses: 0, shows: false, digits: 4 }),
    },
  }).text();
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
