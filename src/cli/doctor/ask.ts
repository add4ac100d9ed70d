import { codeOf, messageOf } from "../../base/errors.ts";
import { inUrl } from "../../base/network.ts";
import { parseObject } from "../../protocol/frames.ts";
import { failed, type Verdict } from "./examination.ts";
import type { Target } from "./target.ts";

/** How long to wait for one answer or one frame. */
export const timeoutMs = 10_000;

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** Empty unless the body is a JSON object. */
  readonly json: Readonly<Record<string, unknown>>;
}

interface Question {
  readonly method?: "GET" | "POST" | "OPTIONS";
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Which of the name's addresses is asked. */
  readonly address?: string | undefined;
}

/** The request failed before an answer came. */
export class NoAnswer extends Error {
  constructor(readonly verdict: Verdict) {
    super(verdict.found);
  }
}

/**
 * Requests a URL of the server and follows no redirect. An upgrade that succeeds (101) is closed at
 * once. Throws NoAnswer.
 */
export async function ask(
  target: Target,
  url: string,
  { method = "GET", headers = {}, body, address }: Question = {},
): Promise<Answer> {
  const json = body === undefined ? {} : { "content-type": "application/json" };
  const at = new URL(url);
  const { host } = at;
  if (address !== undefined) at.hostname = inUrl(address);
  const ending = new AbortController();
  try {
    const answer = await fetch(at, {
      method,
      redirect: "manual",
      signal: AbortSignal.any([ending.signal, AbortSignal.timeout(timeoutMs)]),
      tls: { rejectUnauthorized: !target.insecure, ...(address && { serverName: target.host }) },
      headers: { ...(address && { host }), ...headers, ...json },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const { status } = answer;
    const text = status === 101 ? "" : await answer.text();
    return { status, headers: answer.headers, text, json: parseObject(text) ?? {} };
  } catch (error) {
    throw new NoAnswer(connectionFault(error, target));
  } finally {
    ending.abort();
  }
}

export function post(target: Target, path: string, body: unknown): Promise<Answer> {
  return ask(target, `${target.http}${path}`, { method: "POST", body });
}

/** The answer to an upgrade, which WebSocket clients do not show. Undefined if there is none. */
export function askUpgrade(
  target: Target,
  path: string,
  own: Readonly<Record<string, string>> = {},
): Promise<Answer | undefined> {
  const headers = {
    ...own,
    connection: "Upgrade",
    upgrade: "websocket",
    "sec-websocket-version": "13",
    // Any 16 bytes: a key that is used again could only confuse caches.
    "sec-websocket-key": "bnQtc2lnbmFsIGRvYy4uLg==",
  };
  return ask(target, `${target.http}${path}`, { headers }).catch(() => undefined);
}

/** Why no answer came. */
export function connectionFault(error: unknown, { host, port, secure }: Target): Verdict {
  const where = `${host}, port ${port}`;
  const code = codeOf(error);
  const isLate = error instanceof Error && /^(?:Timeout|Abort)Error$/.test(error.name);
  if (isLate || code === "ETIMEDOUT") {
    return failed(
      `nothing came from ${where} in time`,
      "A firewall may drop packets to this port, or the machine is down. Open the port, and try from another network.",
    );
  }
  if (code === "ECONNREFUSED" || code === "ConnectionRefused") {
    return failed(
      `connection refused by ${where}`,
      "Nothing listens there. Is the server running, on this port, and on an address that others can reach (HOST=0.0.0.0)?",
    );
  }
  if (
    /^(?:ECONNRESET|ConnectionClosed|EPIPE|EPROTO|Malformed_HTTP_Response|ERR_SSL_\w+)$/.test(code)
  ) {
    return failed(
      `${where} does not speak ${secure ? "TLS" : "plain HTTP"} (${code})`,
      secure
        ? "If neither the server nor a proxy in front of it has a certificate, try http:// or ws://."
        : seeLogs,
    );
  }
  return failed(
    `no answer from ${where}: ${code || messageOf(error)}`,
    "Check the URL, and that this machine can reach the server's network.",
  );
}

export const severalServers =
  "Several servers may share this address without sharing what they know: run one, or give all of them the same store.";
export const seeLogs = "See the log of the server, and that of any proxy in front of it.";

/** For an answer that the server itself does not give here. */
export function wrongAnswer(answer: Answer, target: Target): Verdict {
  return failed(`answered ${answer.status}`, remedyOf(answer, target));
}

export function remedyOf({ status, headers, json }: Answer, { basePath }: Target): string {
  if (status >= 200 && status < 300) {
    return "Something other than nt-signal answers. Check the host, the port and the proxy's route.";
  }
  if (status >= 300 && status < 400) {
    return `It redirects to ${headers.get("location") ?? "elsewhere"}; clients do not follow. Give them that address.`;
  }
  // A problem's detail (RFC 9457), or why the server is not ready.
  const given = json["detail"] ?? json["reason"];
  const reason = typeof given === "string" ? given : undefined;
  switch (status) {
    case 403:
      return (
        reason ??
        "A rule of a proxy or firewall forbids it: nt-signal refuses only web pages whose origin is not in CORS_ORIGINS, and this is not a web page."
      );
    case 404:
      return basePath === ""
        ? "There is no nt-signal at this path. If it serves below a base path, add that to the URL; if a proxy removes a part of the path, set BASE_PATH to nothing."
        : `The base path ${basePath} may be wrong: it has to be the server's BASE_PATH, or one that the proxy removes.`;
    case 429:
      return "Asked too often. Wait and try again; behind a proxy without TRUST_PROXY all clients share one limit (HTTP_RATE_PER_MIN, WS_RATE_PER_MIN, SOCKETS_PER_CLIENT, CODES_PER_CLIENT, REDEEM_FAILURES).";
    case 502:
    case 504:
      return "A proxy answers, but does not reach the server. Is it running, and is the proxy's upstream address right?";
    case 503:
      return (
        reason ??
        "The server, or a proxy before it, accepts no clients: it is stopping or full (MAX_ROOMS, MAX_SOCKETS). Try again later."
      );
    default:
      return reason ?? seeLogs;
  }
}
