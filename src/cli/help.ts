import { flagOf, isSwitch, type Setting, settingGroups, settings } from "../config/config.ts";
import type { Command } from "./commands.ts";

/** The settings that `--help` shows. */
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

/** What `--help` prints, for a terminal of 80 columns. */
export function programHelp(commands: readonly Command[], byDefault: Command): string {
  const rows = commands.map(({ name, summary }): Row => {
    return [name, name === byDefault.name ? `${summary} (the default)` : summary];
  });
  const more: readonly Row[] = [
    ["help [COMMAND]", "Print this, or the options of a command; also --help"],
    ["help settings", "Print all settings"],
    ["version", "Print the version; also -v, --version"],
  ];
  return [
    "Usage: nt-signal [COMMAND] [FLAGS]",
    "",
    "Commands:",
    ...columns([...rows, ...more]),
    "",
    "Examples:",
    "  nt-signal",
    "      Try it: the page at http://localhost:1234 connects two browsers",
    "  nt-signal --open --tls-self-signed",
    "      Try it with a phone in the same network, camera and microphone included",
    "  nt-signal --cors-origins https://app.example.com --state-file /var/lib/nt/state",
    "      Serve the pages of one site, behind a proxy on the same machine",
    "  nt-signal doctor https://signal.example.com",
    "      Check a server from outside and explain what is wrong",
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

/** What `help settings` prints. */
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
  "-p 8080 is short for --port 8080, and --quiet for --log-level error.",
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
  const text = `${setting.help.replaceAll("`", "")}. Must be ${setting.schema.description}.`;
  return [`  ${names}${value}`, ...wrapped(text, 72).map((line) => `      ${line}`)];
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
