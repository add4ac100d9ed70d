import { isIP } from "node:net";

/** The server to examine, as its clients are told of it. */
export interface Target {
  /** `https://host:port/base`, without a slash at its end. */
  readonly http: string;
  /** The same over `wss` or `ws`. */
  readonly ws: string;
  /** Without path: where health is asked for when the base path doesn't lead there. */
  readonly origin: string;
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
  /** Empty, or starting with a slash. */
  readonly basePath: string;
  readonly secure: boolean;
  /** `host` is an address: there is no name to look up. */
  readonly isAddress: boolean;
  /** A certificate nobody vouches for is accepted. */
  readonly insecure: boolean;
}

/**
 * Reads the URL of a server: http, https, ws or wss, with or without a base path; a path that ends
 * with `/ws`, as clients have it, means what is before it. Undefined when `text` is none.
 */
export function parseTarget(text: string, insecure: boolean): Target | undefined {
  const url = /^(?:http|ws)s?:\/\//i.test(text) && URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || url.username !== "" || url.hostname === "") return undefined;
  const secure = url.protocol === "https:" || url.protocol === "wss:";
  const basePath = url.pathname.replace(/\/+$/, "").replace(/\/ws$/, "");
  const s = secure ? "s" : "";
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
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
