import { styleText } from "node:util";
import { terminalText } from "../base/terminal-text.ts";
import type { Config } from "../config/config.ts";
import { logLevels } from "../config/formats.ts";

/** How much is logged: lines of this level and of all levels after it. */
export type LogLevel = (typeof logLevels)[number];

/** The fields of a log line beside its message: flat, so that lines can be filtered by key. */
export type Fields = {
  readonly [key: string]: string | number | boolean | null | undefined;
} & { readonly time?: never; readonly level?: never; readonly msg?: never };

/**
 * One line for each event. Messages are constants; values are in fields. Neither ever contains a
 * rendezvous code or what peers send each other.
 */
export type Log = Readonly<Record<LogLevel, (msg: string, fields?: Fields) => void>>;

/** One event. */
interface Entry {
  /** ms since the Unix epoch. */
  readonly at: number;
  readonly level: LogLevel;
  readonly msg: string;
  readonly fields: Fields | undefined;
}

/** One event as one line with its line break. No value can start another line. */
export type RenderLine = (entry: Entry) => string;

export function createLog({
  node,
  level,
  write,
  now,
  render = jsonLine,
}: {
  /** Lines below this level are not written. */
  readonly level: LogLevel;
  /** Gets a whole line with its line break. */
  readonly write: (line: string) => void;
  /** ms since the Unix epoch. */
  readonly now: () => number;
  /** Which of several nodes writes: a field of every line. Undefined for a single server. */
  readonly node?: string | undefined;
  readonly render?: RenderLine;
}): Log {
  const lowest = logLevels.indexOf(level);
  const at = (level: LogLevel) => {
    if (logLevels.indexOf(level) < lowest) return () => {};
    return (msg: string, own?: Fields) => {
      const fields = node === undefined ? own : { node, ...own };
      write(render({ at: now(), level, msg, fields }));
    };
  };
  return Object.fromEntries(logLevels.map((level) => [level, at(level)])) as Log;
}

/**
 * How lines are written. Colours are only for terminals, and only while NO_COLOR is not set or empty
 * (no-color.org).
 */
export function lineRenderer(
  format: Config["logFormat"],
  isTerminal: boolean,
  noColor: string | undefined,
): RenderLine {
  const isPretty = format === "pretty" || (format === "auto" && isTerminal);
  return isPretty ? prettyLines(isTerminal && !noColor) : jsonLine;
}

/** JSON escapes line breaks, so no value can look like another line. */
export function jsonLine(entry: Entry): string {
  const time = new Date(entry.at).toISOString();
  return `${JSON.stringify({ time, level: entry.level, msg: entry.msg, ...entry.fields })}\n`;
}

const hues = { trace: "gray", debug: "gray", info: "green", warn: "yellow", error: "red" } as const;

/**
 * Lines for people: local time, level, message, then `key=value` for each field. No value can break its
 * line, or control the terminal with an escape sequence.
 */
function prettyLines(isColoured: boolean): RenderLine {
  const paint = (colour: (typeof hues)[LogLevel], text: string) =>
    isColoured ? styleText(colour, text, { validateStream: false }) : text;
  return ({ at, level, msg, fields }) => {
    const given = Object.entries(fields ?? {}).filter(([, value]) => value !== undefined);
    const parts = [
      paint("gray", timeOfDay(new Date(at))),
      paint(hues[level], level.toUpperCase().padEnd(5)),
      terminalText(msg),
      ...given.map(([key, value]) => `${paint("gray", `${key}=`)}${shown(value)}`),
    ];
    return `${parts.join(" ")}\n`;
  };
}

/** `09:05:07.042` */
function timeOfDay(date: Date): string {
  return `${date.toTimeString().slice(0, 8)}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** Quoted if it has spaces or quotes, so that its end can be seen. */
function shown(value: unknown): string {
  const text = String(value);
  return terminalText(/^[^\s"=]+$/.test(text) ? text : JSON.stringify(text));
}
