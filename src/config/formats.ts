import { z } from "zod/mini";
import { parseAddressSet } from "../base/address.ts";
import { formatDuration, parseDuration } from "../base/duration.ts";

/** How a setting's text is read. */
export type Format<T> = z.ZodMiniType<T>;

/** What it allows, in words that follow "must be". */
export function allowedBy(schema: Format<unknown>): string {
  return z.globalRegistry.get(schema)?.description ?? "any text";
}

/** Levels of the log. A level writes its own lines and those of all levels after it. */
export const logLevels = ["trace", "debug", "info", "warn", "error"] as const;

export const kib = 1_024;
export const mib = 1_024 * kib;
export const gib = 1_024 * mib;
export const tib = 1_024 * gib;

/** What is wrong with a text. It must not repeat the text, which may be a secret. */
export class Fault {
  constructor(readonly hint: string) {}
}

/** A format from a function that answers undefined, or a fault, for text it cannot take. */
export function format<T>(
  allowed: string,
  read: (text: string) => T | Fault | undefined,
): Format<T> {
  const transform = z.transform((text: string, context) => {
    const value = read(text);
    if (value !== undefined && !(value instanceof Fault)) return Object.freeze(value) as T;
    const hint = value instanceof Fault ? `; ${value.hint}` : "";
    context.issues.push({ code: "custom", message: allowed + hint, input: "" });
    return z.NEVER;
  });
  return z.pipe(z.string(), transform).check(z.describe(allowed));
}

/** Text that matches as a whole. */
export function text(pattern: RegExp, allowed: string): Format<string> {
  return z.string().check(z.regex(pattern, allowed), z.describe(allowed));
}

/** Decimal digits only; both bounds are allowed values. */
export function wholeNumber(min: number, max: number): Format<number> {
  return format(`a whole number from ${min} to ${inWords(max)}`, number(min, max));
}

/** As `wholeNumber`, of bytes. */
export function byteCount(min: number, max: number): Format<number> {
  const bounds = `from ${min} to ${max} (${inUnits(max)})`;
  return format(`a whole number of bytes ${bounds}`, number(min, max));
}

function number(min: number, max: number): (text: string) => number | undefined {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    return value >= min && value <= max ? value : undefined;
  };
}

/** Whole millions and billions in words: `10 million`. */
function inWords(value: number): string {
  if (value > 0 && value % 1e9 === 0) return `${value / 1e9} billion`;
  return value > 0 && value % 1e6 === 0 ? `${value / 1e6} million` : String(value);
}

/** `16 KiB`, `1 TiB`, `1025 bytes`. */
export function inUnits(bytes: number): string {
  let value = bytes;
  for (const unit of ["bytes", "KiB", "MiB", "GiB"]) {
    if (value === 0 || value % 1_024 !== 0) return `${value} ${unit}`;
    value /= 1_024;
  }
  return `${value} TiB`;
}

/** In ms, rounded up to a whole number. Both bounds, written as durations, are allowed values. */
export function duration(min: string, max: string): Format<number> {
  const [lowest = Number.NaN, highest = Number.NaN] = [min, max].map(parseDuration);
  return format(
    `a duration from ${formatDuration(lowest)} to ${formatDuration(highest)}`,
    (text) => {
      const ms = parseDuration(text) ?? Number.NaN;
      if (ms >= lowest && ms <= highest) return Math.ceil(ms);
      return /^\d+$/.test(text) ? new Fault(`with its unit: ${text}s, ${text}m`) : undefined;
    },
  );
}

const booleanAllowed = "true or false (also yes, on, 1, and no, off, 0)";

/** Any case. */
export const boolean: Format<boolean> = z
  .stringbool({
    truthy: ["true", "yes", "on", "1"],
    falsy: ["false", "no", "off", "0"],
    error: booleanAllowed,
  })
  .check(z.describe(booleanAllowed));

/** One of these words, in any case; `also` has other spellings. */
export function oneOf<const W extends string>(
  words: readonly W[],
  also: ReadonlyMap<string, W> = new Map(),
): Format<W> {
  return format(`one of ${words.join(", ")}`, (text) => {
    const word = text.toLowerCase();
    return also.get(word) ?? words.find((known) => known === word);
  });
}

export const logLevel = oneOf(logLevels, new Map([["warning", "warn"]]));

export const listenHost = text(
  /^[^\s/]+$/,
  "a host name or an IP address, without scheme and path",
);

export const filePath = text(/^/, "the path of a file");

/**
 * A path other than those `taken` and those that start with `prefix`; without dot segments, and without
 * characters of a router's patterns.
 */
export function route(taken: readonly string[], prefix: string): Format<string> {
  return format(
    'a path that starts with "/", of letters, digits and . _ ~ - / only, ' +
      `other than ${taken.join(", ")} and paths that start with ${prefix}`,
    (text) => {
      // No request has dot segments: URL parsers resolve them.
      const isPath = /^\/[\w.~/-]*$/.test(text) && !/\/\.\.?(?:\/|$)/.test(text);
      return isPath && !taken.includes(text) && !text.startsWith(prefix) ? text : undefined;
    },
  );
}

/** What `parseAddressSet` reads, in lower case and without spaces. */
export const proxies: Format<string> = format(
  "none, or a comma-separated list of loopback, private, IP addresses and CIDR blocks (10.0.0.0/8)",
  (text) => {
    const list = text.toLowerCase().replaceAll(/\s/g, "");
    const isAlone = list === "none" || !list.split(",").includes("none");
    return isAlone && parseAddressSet(list) !== undefined ? list : undefined;
  },
);

/** A field name (RFC 9110 section 5.1), or empty. */
export const headerName = text(/^[\w!#$%&'*+.^`|~-]*$/, "the name of a header");

/** 0 for "auto". */
export const socketCount: Format<number> = format(
  "auto, or a whole number from 1 to 10 million",
  (text) => (text.toLowerCase() === "auto" ? 0 : number(1, 10_000_000)(text)),
);

/** The prefix of every path, without a slash at its end. Empty for "/" alone. */
export const basePath: Format<string> = format(
  'a path like /signal: parts that start with "/", of letters, digits and . _ ~ - only',
  (text) => {
    const path = text.endsWith("/") ? text.slice(0, -1) : text;
    return /^(?:\/[\w~-][\w.~-]*)*$/.test(path) ? path : undefined;
  },
);

/** A bearer token (RFC 6750 section 2.1), or empty. */
export const token: Format<string> = format(
  "letters, digits and - . _ ~ + / only, with = at the end where it needs padding",
  (text) => {
    if (/^(?:[\w.~+/-]+=*)?$/.test(text)) return text;
    return new Fault(`character ${text.search(/[^\w.~+/-]/) + 1} is not allowed`);
  },
);

// ---- Web origins and host names ----

/**
 * Web origins in lower case and as browsers write them: `scheme://host` with a port unless it is the
 * scheme's own, `scheme://` alone, `host`, `*.host`, or `*`. Blank entries are skipped.
 */
export const origins: Format<readonly string[]> = format(
  "a comma-separated list of origins (https://app.example.com, capacitor://localhost), host names " +
    "(app.example.com), wildcards (*.example.com), app:// for all pages of an app's scheme, file:// " +
    "for pages opened from a file, or * for all",
  (text) => {
    const wrong = splitList(text).filter((entry) => parseOriginEntry(entry) === undefined);
    if (wrong.length === 0) return listOf(text, parseOriginEntry);
    const hints = wrong.map((entry) => JSON.stringify(entry) + hintAbout(entry.toLowerCase()));
    return new Fault(`wrong: ${hints.join(", ")}`);
  },
);

/** Host names in lower case, as browsers write them. */
export const hostNames: Format<readonly string[]> = format(
  "a comma-separated list of host names (signal.example.com), without scheme and port",
  (text) => listOf(text, parseHost),
);

/** The parts of a comma-separated list, without space around them; blank ones are skipped. */
export function splitList(text: string): readonly string[] {
  return text
    .split(",")
    .map((entry) => entry.trim())
    .filter((entry) => entry !== "");
}

/** Undefined if an entry is wrong, or if there are only commas. */
export function listOf(
  text: string,
  read: (entry: string) => string | undefined,
): readonly string[] | undefined {
  const entries = splitList(text);
  if (entries.length === 0 && text !== "") return undefined;
  const known = entries.map(read).filter((entry) => entry !== undefined);
  return known.length === entries.length ? known : undefined;
}

function parseOriginEntry(text: string): string | undefined {
  const entry = text.toLowerCase();
  if (entry === "*") return entry;
  if (entry.startsWith("*.")) {
    const host = parseHost(entry.slice(2));
    return host === undefined ? undefined : `*.${host}`;
  }
  if (entry === "null") return undefined;
  return entry.includes("://") ? parseOrigin(entry) : parseHost(entry);
}

/** No page has an origin of these schemes, so such an entry would never match. */
const neverOrigins = /^(?:wss?|ftp|data|blob|about|javascript|view-source)$/;

/** A slash at the end is ignored. A longer path, a query and a user name are errors. */
function parseOrigin(entry: string): string | undefined {
  const [, scheme, authority] = /^([a-z][a-z0-9+.-]*):\/\/([^/?#@*\s\\]*)\/?$/.exec(entry) ?? [];
  if (scheme === undefined || neverOrigins.test(scheme)) return undefined;
  if (authority === "") return /^https?$/.test(scheme) ? undefined : `${scheme}://`;
  if (scheme === "file") return undefined;
  const host = URL.parse(entry)?.host ?? "";
  return host === "" ? undefined : `${scheme}://${host}`;
}

function hintAbout(entry: string): string {
  if (entry === "null" || entry.startsWith("file:"))
    return " (file:// allows pages opened from a file)";
  return /^wss?:/.test(entry) ? " (the page's own origin is needed: https://…)" : "";
}

/** Undefined for a host with a port: that needs a scheme too. */
function parseHost(text: string): string | undefined {
  const host = text.toLowerCase();
  if (!/^(?:[^/?#@*:\s\\[\]]+|\[[0-9a-f:.]+\])$/.test(host)) return undefined;
  return URL.parse(`http://${host}`)?.hostname;
}

// ---- Redis ----

/** Empty: no Redis. */
export const redisUrl: Format<string> = format(
  "redis://[[user]:password@]host[:port][/database], or rediss:// for TLS; special characters of a " +
    "password written as %40",
  (text) => {
    if (text === "") return text;
    if (!/^rediss?:\/\//.test(text))
      return new Fault("it does not begin with redis:// or rediss://");
    const url = URL.parse(text);
    if (url === null || url.hostname === "") {
      return new Fault("there is no host, or a character of the password must be written as %40");
    }
    if (url.search !== "" || url.hash !== "") return new Fault("nothing may follow ? or #");
    if (/^(\/\d{0,5})?$/.test(url.pathname)) return text;
    return new Fault("what follows the port is not a database number");
  },
);

/** `host:port` of each; the port is 26379 unless one is given. */
export const redisHosts: Format<readonly string[]> = format(
  "a comma-separated list of host[:port]",
  (text) => listOf(text, hostAndPort),
);

function hostAndPort(text: string): string | undefined {
  const url = URL.parse(`redis://${text}`);
  if (url === null || url.hostname === "" || url.host !== text) return undefined;
  return `${url.hostname}:${url.port || 26379}`;
}
