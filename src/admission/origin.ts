import { isIP } from "node:net";

export interface OriginOptions {
  /** Every origin is welcome. */
  readonly dev: boolean;
  /**
   * Lower case: `https://app.example.com` (exactly this scheme, host and port), `example.com` (this
   * host over any scheme and port), `*.example.com` (its subdomains, not itself), `*` (everyone).
   */
  readonly corsOrigins: readonly string[];
  /**
   * The server's own host names, lower case. Empty: any, which lets pages in whose name was made to
   * lead here (DNS rebinding).
   */
  readonly serverNames: readonly string[];
}

/**
 * Whether a page of this Origin may use this server; `host` is the request's Host header. The one
 * rule for HTTP requests and for upgrades.
 */
export type OriginRule = (origin: string | null, host: string | null) => boolean;

/**
 * No Origin is allowed (no browser sent it), and so is the server's own, under one of its names. Everything else, `null`
 * and what is no origin at all (RFC 6454 section 6.1) included, is up to `dev` and the list.
 */
export function originRule({ dev, corsOrigins, serverNames }: OriginOptions): OriginRule {
  if (dev || corsOrigins.includes("*")) return () => true;
  const listed = originList(corsOrigins);
  const names = new Set(serverNames);
  const isNamed = ({ hostname }: Origin) =>
    names.size === 0 || names.has(hostname) || cannotBeRebound(hostname);
  return (text, host) => {
    if (text === null) return true;
    const origin = parseOrigin(text);
    if (origin === undefined) return false;
    return (isOwn(origin, host) && isNamed(origin)) || listed(origin);
  };
}

/** No DNS server says where these lead (localhost: RFC 6761 section 6.3). */
function cannotBeRebound(hostname: string): boolean {
  return hostname === "localhost" || hostname.startsWith("[") || isIP(hostname) !== 0;
}

interface Origin {
  readonly scheme: string;
  /** Without port, IPv6 in brackets. */
  readonly hostname: string;
  /** The scheme's default when not told; empty for a scheme that has none. */
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
