import { socketsWithinOpenFiles } from "../admission/socket-limits.ts";
import { formatDuration } from "../base/duration.ts";
import { type Config, requireConfig, type Setting, settings } from "../config/config.ts";
import { type Command, columns } from "./help.ts";

export const config: Command = {
  name: "config",
  summary: "Print the settings in effect, and where each value comes from",
  takesSettings: true,
  async run(args, env) {
    const { config, sources, warnings } = requireConfig(env, args);
    const rows = settings.map((setting) => [
      setting.variable,
      effective(setting, config),
      sources.get(setting.variable) ?? "",
    ]);
    const lines = [...columns(rows, ""), "", memoryBounds(config), ""];
    process.stdout.write(lines.join("\n"));
    for (const warning of warnings) process.stderr.write(`Warning: ${warning}\n`);
    return 0;
  },
};

/** The value in use, in the form an operator would write it; `***` for a secret. */
function effective(setting: Setting, config: Config): string {
  const value = config[setting.key];
  if (Bun.deepEquals(setting.schema.parse(setting.default), value)) {
    return setting.default === "" ? "(empty)" : setting.default;
  }
  if (setting.secret) return "***";
  const isDuration = typeof value === "number" && setting.key.endsWith("Ms");
  return isDuration ? formatDuration(value) : String(value);
}

/**
 * How much memory the settings allow. Bytes not yet sent and frames not yet handled may each use
 * WS_BUFFER_TOTAL. The runtime also keeps a buffer for each socket, as large as its largest message.
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
