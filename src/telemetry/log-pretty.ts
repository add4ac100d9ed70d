import type { LogLevel } from "../base/log-level.ts";
import { terminalText } from "../base/terminal-text.ts";
import type { Entry, RenderLine } from "./log.ts";

const colours: Readonly<Record<LogLevel, number>> = { debug: 90, info: 32, warn: 33, error: 31 };
const grey = 90;

/**
 * Lines for people: local time, level, message, then `key=value` for each field. As in JSON no value
 * can break its line or, by a control character, take over the terminal.
 */
export function prettyLines({ colour }: { readonly colour: boolean }): RenderLine {
  const paint = (code: number, text: string) => (colour ? `\x1b[${code}m${text}\x1b[0m` : text);
  return ({ at, level, msg, fields }: Entry) => {
    const told = Object.entries(fields ?? {}).filter(([, value]) => value !== undefined);
    const parts = [
      paint(grey, timeOfDay(at)),
      paint(colours[level], level.toUpperCase().padEnd(5)),
      terminalText(msg),
      ...told.map(([key, value]) => `${paint(grey, `${key}=`)}${shown(value)}`),
    ];
    return `${parts.join(" ")}\n`;
  };
}

function timeOfDay(at: number): string {
  const date = new Date(at);
  const [hours, minutes, seconds] = [date.getHours(), date.getMinutes(), date.getSeconds()];
  const clock = [hours, minutes, seconds].map((part) => String(part).padStart(2, "0")).join(":");
  return `${clock}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** Quoted where it would be hard to see where the value ends. */
function shown(value: unknown): string {
  const text = String(value);
  return terminalText(/^[^\s"=]+$/.test(text) ? text : JSON.stringify(text));
}
