import {
  allowedBy,
  type Env,
  flagOf,
  isSwitch,
  type Setting,
  settingGroups,
  settings,
} from "../config/config.ts";

/** One thing the program can do. */
export interface Command {
  readonly name: string;
  /** One line, without a full stop. */
  readonly summary: string;
  /** What has to follow the command's name. */
  readonly argument?: string;
  /** Its own options, beside the settings' flags; each with one line on what it does. */
  readonly options?: readonly (readonly [option: string, help: string])[];
  /** It takes a flag for every setting. */
  readonly takesSettings: boolean;
  /**
   * `args` are those after the command's name. Answers the exit code: 0 done, 1 failed, 2 wrong
   * arguments. Throws a `StartError` whose message is shown, with exit code 1; anything else that is
   * thrown is a bug.
   */
  readonly run: (args: readonly string[], env: Env) => Promise<number>;
}

/** The settings that `--help` shows. */
const usual = [
  ...["PORT", "TLS_CERT_FILE", "TLS_KEY_FILE", "CORS_ORIGINS", "TRUST_PROXY", "STATE_FILE"],
  ...["TURN_URLS", "REDIS_URL"],
];

const moreCommands = [
  ["help [COMMAND]", "Print this, or the options of a command; also --help"],
  ["help settings", "Print all settings"],
  ["version", "Print the version; also -v, --version"],
];

const examples = [
  "nt-signal",
  "    Try it: the page at http://localhost:1234 connects two browsers",
  "nt-signal --open --tls-self-signed",
  "    Try it with a phone in the same network, camera and microphone included",
  "nt-signal --cors-origins https://app.example.com --state-file /var/lib/nt/state",
  "    Serve the pages of one site, behind a proxy on the same machine",
  "nt-signal doctor https://signal.example.com",
  "    Check a server from outside and explain what is wrong",
];

const waysToSet = [
  "-p 8080 is short for --port 8080, and --quiet for --log-level error.",
  "Every flag is also an environment variable: --room-ttl 5m is ROOM_TTL=5m, and the",
  "flag wins. Durations are written 500ms, 20s, 1h30m. --env-file FILE reads variables",
  "from a file, for every command.",
];

const clientsSitesCustomers = [
  "A client is an IPv4 address or an IPv6 /64, a customer a /56, and a site a /48 or all",
  "clients of one proxy that does not name them.",
];

/** What `--help` prints, for a terminal of 80 columns. */
export function programHelp(commands: readonly Command[], byDefault: Command): string {
  const rows = commands.map((command) => [
    command.name,
    `${command.summary}${command === byDefault ? " (the default)" : ""}`,
  ]);
  return page(
    ["Usage: nt-signal [COMMAND] [FLAGS]"],
    ["Commands:", ...columns([...rows, ...moreCommands])],
    ["Examples:", ...examples.map((line) => `  ${line}`)],
    ...usualSettings(),
  );
}

export function commandHelp(command: Command): string {
  const { name, summary, argument = [], options = [], takesSettings } = command;
  const optional = [...options.map(([option]) => option), ...(takesSettings ? ["FLAGS"] : [])];
  const usage = [argument, optional.map((option) => `[${option}]`)].flat();
  return page(
    [["Usage: nt-signal", name, ...usage].join(" ")],
    [`${summary}.`],
    ...(options.length === 0 ? [] : [["Options:", ...columns(options)]]),
    ...(takesSettings ? usualSettings() : []),
  );
}

/** What `help settings` prints. */
export function settingsHelp(): string {
  return page(
    ["Settings, each with its default.", ...waysToSet],
    clientsSitesCustomers,
    ...settingGroups.map((group) => [`${group.title}:`, ...group.settings.flatMap(settingLines)]),
  );
}

function usualSettings(): readonly string[][] {
  const shown = settings.filter(({ variable }) => usual.includes(variable));
  const heading = "Usual settings (all of them: nt-signal help settings):";
  return [[heading, ...shown.flatMap(settingLines)], waysToSet];
}

function settingLines(setting: Setting): readonly string[] {
  const flag = flagOf(setting.variable);
  const value = setting.default === "" ? "" : ` [${setting.default}]`;
  const names = isSwitch(setting) ? `${flag}, --no-${flag.slice(2)}` : `${flag} VALUE`;
  const text = `${setting.help.replaceAll("`", "")}. Must be ${allowedBy(setting.schema)}.`;
  // Lines of at most 72 characters; a longer word stands alone.
  const lines = text.match(/\S.{0,71}(?= |$)|\S+/g) ?? [];
  return [`  ${names}${value}`, ...lines.map((line) => `      ${line}`)];
}

/** Blocks of lines with an empty line between them. */
function page(...blocks: readonly (readonly string[])[]): string {
  return blocks.map((block) => block.join("\n")).join("\n\n");
}

/** Rows with their cells below each other. */
export function columns(rows: readonly (readonly string[])[], indent = "  "): readonly string[] {
  const widths = rows[0]?.map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)));
  return rows.map((row) => {
    const cells = row.map((cell, at) => cell.padEnd(widths?.[at] ?? 0));
    return `${indent}${cells.join("  ")}`.trimEnd();
  });
}
