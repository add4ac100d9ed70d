import { type LogLevel, logLevels } from "../base/log-level.ts";

/** What a log line tells beside its message: flat, so that it can be filtered by key. */
export type Fields = {
  readonly [key: string]: string | number | boolean | null | undefined;
} & { readonly time?: never; readonly level?: never; readonly msg?: never };

/**
 * One line an event. Messages are constants and what varies goes into fields. Neither ever holds
 * a rendezvous code or what peers send each other.
 */
export type Log = Readonly<Record<LogLevel, (msg: string, fields?: Fields) => void>>;

export interface LogOptions {
  /** Lines below this level are not written. */
  readonly level: LogLevel;
  /** Takes a whole line, its line break included. */
  readonly write: (line: string) => void;
  /** ms since the Unix epoch. */
  readonly now: () => number;
  /** Which of several nodes writes: a field of every line. Undefined for a server alone. */
  readonly node?: string | undefined;
  /** JSON unless told otherwise. */
  readonly render?: RenderLine;
}

/** What there is to tell of one event. */
export interface Entry {
  /** ms since the Unix epoch. */
  readonly at: number;
  readonly level: LogLevel;
  readonly msg: string;
  readonly fields: Fields | undefined;
}

/** One event as one line, its line break included. No value in it can start a line of its own. */
export type RenderLine = (entry: Entry) => string;

/** A log of one line an event. */
export function createLog(options: LogOptions): Log {
  const { render = jsonLine, node } = options;
  const lowest = logLevels.indexOf(options.level);
  const at = (level: LogLevel) => {
    if (logLevels.indexOf(level) < lowest) return () => {};
    return (msg: string, own?: Fields) => {
      const fields = node === undefined ? own : { node, ...own };
      options.write(render({ at: options.now(), level, msg, fields }));
    };
  };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** Line breaks inside values are escaped, so that no value can pass for a line of its own. */
function jsonLine(entry: Entry): string {
  const time = new Date(entry.at).toISOString();
  return `${JSON.stringify({ time, level: entry.level, msg: entry.msg, ...entry.fields })}\n`;
}
