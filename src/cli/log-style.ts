import type { LogFormat } from "../base/log-format.ts";
import type { Env } from "../config/config.ts";
import type { RenderLine } from "../telemetry/log.ts";
import { prettyLines } from "../telemetry/log-pretty.ts";

/**
 * How lines are written. Undefined means JSON. Colours are for terminals only, and for those whose
 * user has not set NO_COLOR to anything (no-color.org).
 */
export function logStyle(format: LogFormat, isTerminal: boolean, env: Env): RenderLine | undefined {
  const pretty = format === "pretty" || (format === "auto" && isTerminal);
  if (!pretty) return undefined;
  return prettyLines({ colour: isTerminal && (env["NO_COLOR"] ?? "") === "" });
}
