import { flagOf, isSwitch, type Setting, settingGroups, settings } from "../config/config.ts";
import type { Command } from "./command.ts";

/** What most operators set. */
const usual = [
  "PORT",
  "TLS_CERT_FILE",
  "TLS_KEY_FILE",
  "CORS_ORIGINS",
  "TRUST_PROXY",
  "STATE_FILE",
  "TURN_URLS",
  "REDIS_URL",
];

/** How the program is called and what is usually set, for a terminal of 80 columns. */
export function programHelp(commands: readonly Command[], byDefault: Command): string {
  const rows = commands.map(({ name, summary }): Row => {
    return [name, name === byDefault.name ? `${summary} (the default)` : summary];
  });
  const told: readonly Row[] = [
    ["help [COMMAND]", "Print this, or what a command takes; also --help"],
    ["help settings", "Print everything that can be set"],
    ["version", "Print the version; also --version"],
  ];
  return [
    "Usage: nt-signal [COMMAND] [FLAGS]",
    "",
    "Commands:",
    ...columns([...rows, ...told]),
    "",
    "Examples:",
    "  nt-signal",
    "      Try it: the page at http://localhost:1234 connects two browsers",
    "  nt-signal --cors-origins https://app.example.com --state-file /var/lib/nt/state",
    "      Behind a proxy on the same machine, for the pages of one site",
    "  nt-signal doctor https://signal.example.com",
    "      Find out what is wrong with it, from outside",
    "",
    ...usualSettings(),
  ].join("\n");
}

export function commandHelp(command: Command): string {
  const { name, summary, usage, options = [], takesSettings } = command;
  return [
    `Usage: nt-signal ${name}${usage === "" ? "" : ` ${usage}`}`,
    "",
    `${summary}.`,
    ...(options.length === 0 ? [] : ["", "Options:", ...columns(options)]),
    ...(takesSettings ? ["", ...usualSettings()] : []),
  ].join("\n");
}

/** Everything that can be set. */
export function settingsHelp(): string {
  return [
    "Settings, each with its default.",
    ...waysToSet,
    ...settingGroups.flatMap((group) => [
      "",
      `${group.title}:`,
      ...group.settings.flatMap(settingLines),
    ]),
  ].join("\n");
}

const waysToSet = [
  "Every flag is also an environment variable: --room-ttl 5m is ROOM_TTL=5m, and the",
  "flag wins. Durations are written 500ms, 20s, 1h30m. --env-file FILE reads variables",
  "from a file, for every command.",
];

function usualSettings(): readonly string[] {
  const shown = settings.filter(({ variable }) => usual.includes(variable));
  return [
    "Usual settings (all of them: nt-signal help settings):",
    ...shown.flatMap(settingLines),
    "",
    ...waysToSet,
  ];
}

function settingLines(setting: Setting): readonly string[] {
  const flag = flagOf(setting.variable);
  const value = setting.default === "" ? "" : ` [${setting.default}]`;
  const names = isSwitch(setting) ? `${flag}, --no-${flag.slice(2)}` : `${flag} VALUE`;
  const said = `${setting.help.replaceAll("`", "")}. Must be ${setting.schema.description}.`;
  return [`  ${names}${value}`, ...wrapped(said, 72).map((line) => `      ${line}`)];
}

type Row = readonly [left: string, right: string];

function columns(rows: readonly Row[]): readonly string[] {
  const widest = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(widest)}  ${right}`);
}

/** Lines of at most `width` characters; a longer word stands alone. */
function wrapped(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}
