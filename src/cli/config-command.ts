import { socketsWithinOpenFiles } from "../admission/socket-limits.ts";
import { formatDuration } from "../base/duration.ts";
import {
  type Config,
  type Env,
  problemList,
  readConfig,
  type Setting,
  settings,
  settingValue,
} from "../config/config.ts";
import type { Command } from "./commands.ts";

export const config: Command = {
  name: "config",
  summary: "Print the settings in effect, and where each value comes from",
  usage: "[FLAGS]",
  takesSettings: true,
  async run(args, env) {
    const { text, memory, warnings, exitCode } = configReport(env, args);
    const output = exitCode === 0 ? process.stdout : process.stderr;
    output.write(text);
    if (memory !== undefined) output.write(`\n${memory}\n`);
    for (const warning of warnings) process.stderr.write(`Warning: ${warning}\n`);
    return exitCode;
  },
};

/** The settings in effect. A secret is shown as `***`. */
export function configReport(
  env: Env,
  args: readonly string[],
): {
  /** Lines of variable, value and source; or all problems. */
  readonly text: string;
  /** What traffic may make the server hold, in one line. */
  readonly memory?: string;
  readonly warnings: readonly string[];
  readonly exitCode: 0 | 1;
} {
  const reading = readConfig(env, args);
  if ("problems" in reading) {
    const text = problemList("The server cannot start with these settings:", reading.problems);
    return { text, warnings: [], exitCode: 1 };
  }
  const rows = settings.flatMap((setting) => {
    if (setting.noMeaning !== undefined) return [];
    const source = reading.sources.get(setting.variable) ?? { from: "default" };
    const from = source.from === "default" ? source.from : `${source.from} ${source.name}`;
    return [[setting.variable, effective(setting, reading.config), from]];
  });
  const memory = memoryBounds(reading.config);
  return { text: aligned(rows), memory, warnings: reading.warnings, exitCode: 0 };
}

/**
 * The budgets, of which the process holds up to twice as much, and what the runtime keeps without
 * showing it: for each socket a buffer as large as its largest message, complete or not.
 */
function memoryBounds(values: Config): string {
  const { mailTotalBytes, wsBufferTotalBytes, wsMaxMsgBytes, maxSockets } = values;
  const sockets = maxSockets || socketsWithinOpenFiles();
  return (
    `Memory: up to ${mib(mailTotalBytes)} of mail${values.redisUrl === "" ? "" : ", in Redis"} ` +
    `(MAIL_TOTAL_BYTES), ${mib(2 * wsBufferTotalBytes)} unsent or not yet handled ` +
    `(2 × WS_BUFFER_TOTAL), and ${mib(wsMaxMsgBytes * sockets)} of large messages ` +
    `(WS_MAX_MSG × ${sockets.toLocaleString("en")} sockets).`
  );
}

function mib(bytes: number): string {
  return `${(bytes / 1_048_576).toLocaleString("en", { maximumFractionDigits: 2 })} MiB`;
}

/** The value in use, in the form an operator would write it. */
function effective(setting: Setting & { readonly key: string }, config: Config): string {
  const value = settingValue(config, setting);
  const byDefault = setting.schema.safeParse(setting.default);
  const isDefault = byDefault.success && Bun.deepEquals(byDefault.data, value);
  if (isDefault) return setting.default === "" ? "(empty)" : setting.default;
  if (setting.secret) return "***";
  if (typeof value === "number" && setting.key.endsWith("Ms")) return formatDuration(value);
  if (Array.isArray(value) && value.every((part) => typeof part === "string")) {
    return value.join(",");
  }
  return String(value);
}

function aligned(rows: readonly (readonly string[])[]): string {
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ");
  return rows.map((row) => `${line(row).trimEnd()}\n`).join("");
}
