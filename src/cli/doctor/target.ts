import { isIP } from "node:net";
import { isPrivate } from "../../base/address.ts";
import { withoutBrackets } from "../../base/network.ts";

/** The server to examine, by the URL that its clients use. */
export interface Target {
  /** `https://host:port/base`, without a slash at its end. */
  readonly http: string;
  /** The same over `wss` or `ws`. */
  readonly ws: string;
  /** Without path: the origin of its own page, and where health and metrics are asked for. */
  readonly origin: string;
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
  /** Empty, or starting with a slash. */
  readonly basePath: string;
  readonly secure: boolean;
  /** `host` is an address: there is no name to look up. */
  readonly isAddress: boolean;
  /** An untrusted certificate is accepted. */
  readonly insecure: boolean;
}

/**
 * Reads the URL of a server: http, https, ws or wss, with or without a base path. `/ws` at its end, as
 * clients use it, is removed. Without a scheme it is http for this machine and private addresses, https
 * for all others. Undefined if `text` is not the URL of a server.
 */
export function parseTarget(text: string, insecure: boolean): Target | undefined {
  const url = parseUrl(text);
  if (url === undefined || url.username !== "" || url.hostname === "") return undefined;
  const secure = url.protocol === "https:" || url.protocol === "wss:";
  const basePath = url.pathname.replace(/\/+$/, "").replace(/\/ws$/, "");
  const s = secure ? "s" : "";
  const host = withoutBrackets(url.hostname);
  return {
    http: `http${s}://${url.host}${basePath}`,
    ws: `ws${s}://${url.host}${basePath}`,
    origin: `http${s}://${url.host}`,
    host,
    port: url.port === "" ? (secure ? 443 : 80) : Number(url.port),
    basePath,
    secure,
    isAddress: isIP(host) !== 0,
    insecure,
  };
}

function parseUrl(text: string): URL | undefined {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) {
    return /^(?:http|ws)s?:/i.test(text) ? (URL.parse(text) ?? undefined) : undefined;
  }
  if (!/^[\w[]/.test(text)) return undefined;
  const url = URL.parse(`http://${text}`);
  return url === null || isNear(withoutBrackets(url.hostname))
    ? (url ?? undefined)
    : new URL(`https://${text}`);
}

/** This machine, or an address in a private network. */
export function isNear(host: string): boolean {
  return host === "localhost" || isPrivate(host);
}
