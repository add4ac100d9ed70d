import { z } from "zod";
import { parseAddressSet } from "../base/address.ts";
import { formatDuration, parseDuration } from "../base/duration.ts";
import { type LogLevel, logLevels } from "../base/log-level.ts";

/**
 * How a setting's text is read. The schema's description says what is allowed, in words that
 * follow "must be" and never repeat the value.
 */
export type Format<T> = z.ZodType<T, string>;

/**
 * A format whose one fault is `allowed`: `read` answers undefined for text it cannot take. `hint`
 * says more of a certain text; it must not repeat one that may be a secret.
 */
function format<T>(
  allowed: string,
  read: (text: string) => T | undefined,
  hint: (text: string) => string = () => "",
): Format<T> {
  return z
    .string()
    .transform((text, context) => {
      const value = read(text);
      if (value !== undefined) return value;
      context.issues.push({ code: "custom", message: allowed + hint(text), input: text });
      return z.NEVER;
    })
    .describe(allowed);
}

/** Decimal digits only; both bounds are allowed values. */
export function wholeNumber(min: number, max: number): Format<number> {
  return format(`a whole number from ${min} to ${max}`, (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    return value >= min && value <= max ? value : undefined;
  });
}

/** ms, rounded up to whole ones. The bounds are durations too, and allowed values. */
export function duration(min: string, max: string): Format<number> {
  const lowest = boundMs(min);
  const highest = boundMs(max);
  const allowed = `a duration from ${formatDuration(lowest)} to ${formatDuration(highest)}`;
  return format(
    allowed,
    (text) => {
      const ms = parseDuration(text) ?? Number.NaN;
      return ms >= lowest && ms <= highest ? Math.ceil(ms) : undefined;
    },
    (text) => (/^\d+$/.test(text) ? `, with its unit: ${text}s, ${text}m` : ""),
  );
}

function boundMs(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) throw new TypeError(`"${text}" bounds a setting but is no duration`);
  return ms;
}

const truths: Readonly<Record<string, boolean>> = {
  true: true,
  yes: true,
  on: true,
  1: true,
  false: false,
  no: false,
  off: false,
  0: false,
};

/** Any case. */
export const boolean: Format<boolean> = format(
  "true or false (also yes, on, 1, and no, off, 0)",
  (text) => (Object.hasOwn(truths, text.toLowerCase()) ? truths[text.toLowerCase()] : undefined),
);

/** One of these words, in any case. */
export function oneOf<W extends string>(words: readonly W[]): Format<W> {
  return format(`one of ${words.join(", ")}`, (text) =>
    words.find((word) => word === text.toLowerCase()),
  );
}

/** Any case; "warning" is understood as warn. */
export const logLevel: Format<LogLevel> = format("one of debug, info, warn, error", (text) => {
  const lower = text.toLowerCase();
  return logLevels.find((level) => level === lower || (level === "warn" && lower === "warning"));
});

export const listenHost: Format<string> = format(
  "a host name or an IP address, without scheme and path",
  (text) => (/^[^\s/]+$/.test(text) ? text : undefined),
);

export const filePath: Format<string> = format("the path of a file", (text) => text);

/** A path the server answers on that is none of `taken`, and no pattern to a router. */
export function route(taken: readonly string[]): Format<string> {
  return format(
    'a path that starts with "/", of letters, digits and . _ ~ - / only, ' +
      `other than ${taken.join(", ")}`,
    (text) => (/^\/[\w.~/-]*$/.test(text) && !taken.includes(text) ? text : undefined),
  );
}

/** Proxies to trust, as `parseAddressSet` reads them; kept as they were written, tidied. */
export const proxies: Format<string> = format(
  "none, or a comma-separated list of loopback, private, IP addresses and CIDR blocks (10.0.0.0/8)",
  (text) => {
    const list = text.toLowerCase().replaceAll(/\s/g, "");
    const lonely = list === "none" || !list.split(",").includes("none");
    return lonely && parseAddressSet(list) !== undefined ? list : undefined;
  },
);

/** A field name (RFC 9110 section 5.1), or none. */
export const headerName: Format<string> = format("the name of a header", (text) =>
  /^[\w!#$%&'*+.^`|~-]*$/.test(text) ? text : undefined,
);

/** 0 stands for "auto". */
export const socketCount: Format<number> = format(
  "auto, or a whole number from 1 to 10000000",
  (text) => {
    if (text.toLowerCase() === "auto") return 0;
    const value = /^\d+$/.test(text) ? Number(text) : 0;
    return value >= 1 && value <= 10_000_000 ? value : undefined;
  },
);

/** What stands before every path, without a slash at its end; empty, or "/" alone: nothing. */
export const basePath: Format<string> = format(
  'a path like /signal: parts that start with "/", of letters, digits and . _ ~ - only',
  (text) => {
    const path = text.endsWith("/") ? text.slice(0, -1) : text;
    return /^(?:\/[\w~-][\w.~-]*)*$/.test(path) ? path : undefined;
  },
);

/** A bearer token (RFC 6750 section 2.1), or none. */
export const token: Format<string> = format(
  "letters, digits and - . _ ~ + / only, with = at the end where it needs padding",
  (text) => (/^(?:[\w.~+/-]+=*)?$/.test(text) ? text : undefined),
  (text) => `; character ${text.search(/[^\w.~+/-]/) + 1} is none of them`,
);
