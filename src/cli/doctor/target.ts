import { isIP } from "node:net";
import { isPrivate, parseAddress } from "../../base/address.ts";
import { codeOf, messageOf } from "../../base/errors.ts";
import { isLoopback } from "../../base/network.ts";

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
 * Reads the URL of a server: http, https, ws or wss, with or without a base path; a path that ends
 * with `/ws`, as clients have it, means what is before it. Without a scheme it is http for this
 * machine and private addresses, https for all others. Undefined when `text` is none.
 */
export function parseTarget(text: string, insecure: boolean): Target | undefined {
  const url = parseUrl(text);
  if (url === undefined || url.username !== "" || url.hostname === "") return undefined;
  const secure = url.protocol === "https:" || url.protocol === "wss:";
  const basePath = url.pathname.replace(/\/+$/, "").replace(/\/ws$/, "");
  const s = secure ? "s" : "";
  const host = hostOf(url);
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
  if (url === null) return undefined;
  const host = hostOf(url);
  const address = parseAddress(host);
  const isNear = isLoopback(host) || (address !== undefined && isPrivate(address));
  return isNear ? url : new URL(`https://${text}`);
}

function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[(.*)\]$/, "$1");
}

/** What one step of an examination found. `T` is what the steps after it need. */
export type Verdict<T = undefined> = Passed<T> | Failed;

interface Passed<T> {
  readonly ok: true;
  readonly found: string;
  /** What is not wrong yet. */
  readonly warning?: string;
  readonly value: T;
}

export interface Failed {
  readonly ok: false;
  readonly found: string;
  /** The likely cause, and what to do. */
  readonly remedy: string;
}

export function passed(found: string, warning?: string): Passed<undefined> {
  return { ok: true, found, value: undefined, ...(warning === undefined ? {} : { warning }) };
}

export function failed(found: string, remedy: string): Failed {
  return { ok: false, found, remedy };
}

/** What it means when no answer came at all. */
export function connectionFault(error: unknown, { host, port, secure }: Target): Failed {
  const where = `${host}, port ${port}`;
  const code = error instanceof Error && error.name === "TimeoutError" ? error.name : codeOf(error);
  if (code === "TimeoutError" || code === "ETIMEDOUT") {
    return failed(
      `nothing came from ${where} in time`,
      "A firewall may swallow packets to this port, or the machine is down. Open the port, and try from another network.",
    );
  }
  if (code === "ECONNREFUSED" || code === "ConnectionRefused") {
    return failed(
      `connection refused by ${where}`,
      "Nothing listens there. Is the server running, on this port, and on an address that others reach (HOST=0.0.0.0)?",
    );
  }
  if (
    /^(?:ECONNRESET|ConnectionClosed|EPIPE|EPROTO|Malformed_HTTP_Response|ERR_SSL_\w+)$/.test(code)
  ) {
    return failed(
      `${where} does not speak ${secure ? "TLS" : "plain HTTP"} (${code})`,
      secure
        ? "If the server has no certificate, and no proxy has one for it, try http:// or ws://."
        : "See the server's log, and that of whatever proxy stands in front of it.",
    );
  }
  return failed(
    `no answer from ${where}: ${code || messageOf(error)}`,
    "Check the URL, and that this machine reaches the server's network.",
  );
}
