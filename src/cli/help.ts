import { flagOf, isSwitch, type Setting, settingGroups } from "../config.ts";
import type { Command } from "./command.ts";

/** How the program is called and everything that can be set, for a terminal of 80 columns. */
export function programHelp(commands: readonly Command[], byDefault: Command): string {
  const rows = commands.map(({ name, summary }): Row => {
    return [name, name === byDefault.name ? `${summary} (the default)` : summary];
  });
  const told: readonly Row[] = [
    ["help [COMMAND]", "Print this, or what a command takes; also --help"],
    ["version", "Print the version; also --version"],
  ];
  return [
    "Usage: nt-signal [COMMAND] [FLAGS]",
    "",
    "Commands:",
    ...columns([...rows, ...told]),
    "",
    ...settingsHelp(),
  ].join("\n");
}

export function commandHelp(command: Command): string {
  const { name, summary, usage, options = [], takesSettings } = command;
  return [
    `Usage: nt-signal ${name}${usage === "" ? "" : ` ${usage}`}`,
    "",
    `${summary}.`,
    ...(options.length === 0 ? [] : ["", "Options:", ...columns(options)]),
    ...(takesSettings ? ["", ...settingsHelp()] : []),
  ].join("\n");
}

function settingsHelp(): readonly string[] {
  return [
    "Settings, each with its default. Every flag is also an environment variable:",
    "--room-ttl 5m is ROOM_TTL=5m. A flag wins over the variable. Durations are",
    "written 500ms, 20s, 1h30m.",
    ...settingGroups.flatMap(({ title, settings }) => [
      "",
      `${title}:`,
      ...settings.flatMap(settingLines),
    ]),
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
