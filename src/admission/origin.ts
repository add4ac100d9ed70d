import { isIP } from "node:net";
import { onceAMinute } from "../base/once-a-minute.ts";
import { terminalText } from "../base/terminal-text.ts";
import type { Config } from "../config/config.ts";

/**
 * Whether a page of this Origin may use this server; `host` is the request's Host header. The one
 * rule for HTTP requests and for upgrades.
 */
export type OriginRule = (origin: string | null, host: string | null) => boolean;

/**
 * Allows requests without an Origin (no browser sent them) and those of the server's own pages.
 * Every other Origin, also `null` or a malformed one (RFC 6454 section 6.1), is allowed by `dev` or by
 * the list, where `scheme://` stands for all origins of a scheme and `file://` for `null`. Without
 * `serverNames` the server's own page may have been loaded under any name, also under one that an
 * attacker's DNS points here (DNS rebinding).
 */
export function originRule({
  dev,
  corsOrigins,
  serverNames,
}: Pick<Config, "dev" | "corsOrigins" | "serverNames">): OriginRule {
  if (dev || corsOrigins.includes("*")) return () => true;
  const listed = originList(corsOrigins);
  const names = new Set(serverNames);
  const isNamed = ({ hostname }: Origin) =>
    names.size === 0 || names.has(hostname) || cannotBeRebound(hostname);
  const schemes = new Set(corsOrigins.filter((entry) => entry.endsWith("://")));
  return (text, host) => {
    if (text === null || (schemes.size > 0 && schemes.has(schemeOf(text)))) return true;
    const origin = parseOrigin(text);
    if (origin === undefined) return false;
    return (isOwn(origin, host) && isNamed(origin)) || listed(origin);
  };
}

/** Most origins that are reported in one minute. */
const maxReported = 20;
const reportedLength = 200;

/**
 * The rule, with a report of each refused origin: once a minute, and at most 20 origins per minute. The
 * origin is text from the client, so it is escaped and shortened.
 */
export function reportingRule(
  rule: OriginRule,
  monotonicMs: () => number,
  report: (origin: string) => void,
): OriginRule {
  const isDue = onceAMinute(monotonicMs, maxReported);
  return (origin, host) => {
    if (rule(origin, host)) return true;
    const shown = terminalText((origin ?? "").slice(0, reportedLength));
    if (isDue(shown)) report(shown);
    return false;
  };
}

/** These names do not come from DNS (localhost: RFC 6761 section 6.3). */
function cannotBeRebound(hostname: string): boolean {
  return hostname === "localhost" || hostname.startsWith("[") || isIP(hostname) !== 0;
}

/** `scheme://`. A page opened from a file says `null` in requests, and for sockets some say `file://`. */
function schemeOf(origin: string): string {
  const text = origin.toLowerCase();
  return text === "null" ? "file://" : text.slice(0, text.indexOf("://") + 3);
}

interface Origin {
  readonly scheme: string;
  /** Without port, IPv6 in brackets. */
  readonly hostname: string;
  /** The scheme's default if the text has no port; empty for a scheme without a default. */
  readonly port: string;
}

const serialized = /^([a-z][a-z0-9+.-]*):\/\/(\[[0-9a-f:.]+\]|[^\s/?#@:[\]]+)(?::(\d{1,5}))?$/;

function parseOrigin(text: string): Origin | undefined {
  const [, scheme, hostname, port] = serialized.exec(text.toLowerCase()) ?? [];
  if (scheme === undefined || hostname === undefined) return undefined;
  return { scheme, hostname, port: port ?? defaultPort(scheme) };
}

function defaultPort(scheme: string): string {
  if (scheme === "https" || scheme === "wss") return "443";
  return scheme === "http" || scheme === "ws" ? "80" : "";
}

/** A Host without a port means the default one of the scheme the page was loaded over. */
function isOwn({ scheme, hostname, port }: Origin, host: string | null): boolean {
  if (host === null) return false;
  const own = host.toLowerCase();
  return own === `${hostname}:${port}` || (own === hostname && port === defaultPort(scheme));
}

function originList(entries: readonly string[]): (origin: Origin) => boolean {
  const origins = new Set<string>();
  const hostnames = new Set<string>();
  const suffixes: string[] = [];
  for (const entry of entries) {
    const origin = parseOrigin(entry);
    if (origin !== undefined) origins.add(canonical(origin));
    else if (entry.startsWith("*.")) suffixes.push(entry.slice(1));
    else hostnames.add(entry);
  }
  return (origin) =>
    origins.has(canonical(origin)) ||
    hostnames.has(origin.hostname) ||
    suffixes.some((suffix) => origin.hostname.endsWith(suffix) && origin.hostname !== suffix);
}

function canonical({ scheme, hostname, port }: Origin): string {
  return `${scheme}://${hostname}:${port}`;
}
