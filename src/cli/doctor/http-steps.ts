import { isPrivate, parseAddress } from "../../base/address.ts";
import { inUrl, isLoopback } from "../../base/network.ts";
import {
  connectionFault,
  type Failed,
  failed,
  passed,
  type Target,
  type Verdict,
} from "./target.ts";

/** An answer, read to its end. */
interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** Undefined when the body is no JSON. */
  readonly json: unknown;
}

interface Question {
  readonly method?: "GET" | "POST" | "OPTIONS";
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** The one of the name's addresses that is asked. */
  readonly address?: string | undefined;
}

export interface Minted {
  /** A secret: never shown. */
  readonly code: string;
  readonly appId: string;
}

const timeoutMs = 10_000;

const severalServers =
  "Several servers may share this address without sharing what they know: run one, or give all of them the same store.";

/** Whether the server accepts clients. A proxy may hide /readyz: that is only a warning. */
export async function isReady(target: Target, address?: string): Promise<Verdict> {
  const answer = await ask(target, `${target.http}/readyz`, { address });
  if ("ok" in answer) return answer;
  const isReady = (given: Answer) => given.status === 200 && fieldOf(given.json, "ready") === true;
  if (isReady(answer)) return passed("the server accepts clients");
  if (target.basePath === "" || answer.status === 503) return wrongAnswer(answer, target);
  const atRoot = await ask(target, `${target.origin}/readyz`, { address });
  if (!("ok" in atRoot) && isReady(atRoot)) return passed("the server accepts clients");
  return passed(
    "/readyz cannot be reached through this URL",
    "Proxies often keep /readyz to themselves; nothing is wrong if the rest passes.",
  );
}

/** Whether what listens at one of the name's addresses accepts clients: balancers and DNS may have several. */
export async function isReadyAt(target: Target, address: string): Promise<Verdict> {
  const verdict = await isReady(target, address);
  const found = `${address}: ${verdict.found}`;
  if (verdict.ok || !address.includes(":")) return { ...verdict, found };
  return passed(found, "Clients with IPv6 try this address first. Perhaps this machine has none.");
}

export async function mints(target: Target): Promise<Verdict<Minted>> {
  const url = `${target.http}/rendezvous/code`;
  const answer = await ask(target, url, { method: "POST", body: { ttl: 60 } });
  if ("ok" in answer) return answer;
  const [code, appId] = [fieldOf(answer.json, "code"), fieldOf(answer.json, "appID")];
  if (answer.status !== 200 || typeof code !== "string" || typeof appId !== "string") {
    return wrongAnswer(answer, target);
  }
  return { ...passed(`got a code of ${code.length} digits`), value: { code, appId } };
}

export async function redeems(target: Target, { code, appId }: Minted): Promise<Verdict> {
  const answer = await redeem(target, code);
  if ("ok" in answer) return answer;
  if (answer.status === 410) return failed("the new code is not known", severalServers);
  const given = fieldOf(answer.json, "appID");
  if (answer.status !== 200 || typeof given !== "string") return wrongAnswer(answer, target);
  if (given !== appId) return failed("the code led to another room", severalServers);
  return passed("the code led to its room");
}

/**
 * Whether redeems are answered by the server and not by a cache. It sends what is no code at all:
 * that does not count as a failed redeem of this client, as a second redeem would.
 */
export async function redeemsAnew(target: Target): Promise<Verdict> {
  const answer = await redeem(target, "not a code");
  if ("ok" in answer) return answer;
  if (answer.status === 400) return passed("each redeem is answered anew");
  if (answer.status !== 200) return wrongAnswer(answer, target);
  return failed(
    "something that is no code was redeemed",
    "A cache may answer for the server: pass POST requests on.",
  );
}

function redeem(target: Target, code: string): Promise<Answer | Failed> {
  return ask(target, `${target.http}/rendezvous/redeem`, { method: "POST", body: { code } });
}

export interface IceServer {
  readonly urls: readonly string[];
  /** Both are secrets: never shown. */
  readonly username: string | undefined;
  readonly credential: string | undefined;
}

/** The ICE servers that side A gets, whose socket is open. */
export async function givesIceServers(
  target: Target,
  { appId }: Minted,
): Promise<Verdict<readonly IceServer[]>> {
  const url = `${target.http}/rendezvous/ice`;
  const answer = await ask(target, url, { method: "POST", body: { appID: appId, side: "A" } });
  if ("ok" in answer) return answer;
  if (answer.status === 404) return { ...passed("this server has none"), value: [] };
  const given = fieldOf(answer.json, "iceServers");
  if (answer.status !== 200 || !Array.isArray(given)) return wrongAnswer(answer, target);
  const servers = given.map((entry): IceServer => {
    const [username, credential] = [fieldOf(entry, "username"), fieldOf(entry, "credential")];
    return {
      urls: [fieldOf(entry, "urls")].flat().filter((one) => typeof one === "string"),
      username: typeof username === "string" ? username : undefined,
      credential: typeof credential === "string" ? credential : undefined,
    };
  });
  const urls = servers.flatMap((server) => server.urls);
  const found = urls.length === 0 ? "none are set" : urls.join(", ");
  const hint = urls.some((text) => /^turns?:/i.test(text))
    ? undefined
    : "Without TURN some pairs of networks never connect: see TURN_URLS.";
  return { ...passed(found, hint), value: servers };
}

/** Headers that proxies put on answers, and nt-signal does not. */
const proxyMarks = ["via", "server", "x-served-by", "cf-ray", "x-cache"];

/** Whether the server can tell its clients apart: the limits of one client rest on it. */
export async function seesClient(target: Target): Promise<Verdict> {
  const answer = await ask(target, `${target.http}/rendezvous/whoami`);
  if ("ok" in answer) return answer;
  if (answer.status === 404) return passed("the server does not say which address it sees");
  const address = fieldOf(answer.json, "address");
  const header = fieldOf(answer.json, "header");
  if (answer.status !== 200 || typeof address !== "string") return wrongAnswer(answer, target);
  const through = typeof header === "string" ? ` through ${header}` : "";
  const found = `the server sees you as ${address}${through}`;
  const fault = fieldOf(answer.json, "fault");
  if (typeof fault === "string") return clientUnknown(target, answer, header, fault);
  if (fieldOf(answer.json, "shared") === true) {
    return failed(
      `${found}, and so it sees all clients`,
      "There is a proxy in front of it that it does not trust. Set TRUST_PROXY to the proxy's address, or to private.",
    );
  }
  if (typeof header === "string" || !comesThroughProxy(target, answer, address)) {
    return passed(found);
  }
  return failed(
    `${found}, which is a proxy's address`,
    "No header names the client. Let the proxy set X-Forwarded-For, and set TRUST_PROXY to the proxy's address.",
  );
}

/** The server trusts the proxy, and learns nothing from it: all of its clients are one. */
function clientUnknown(
  target: Target,
  { json, headers }: Answer,
  header: unknown,
  fault: string,
): Verdict {
  const which = typeof header === "string" ? header : "the header that names the client";
  const found = `the server sees you as ${fieldOf(json, "address")}, which is a proxy's address: ${which} is ${fault}, and all clients count as one`;
  const remedy =
    "Let the proxy set X-Forwarded-For, or the header that CLIENT_IP_HEADER names, to the client's address.";
  const isDirect = fault === "missing" && isLoopback(target.host) && !isMarked(headers);
  return isDirect ? passed(found, `Ask through the proxy. ${remedy}`) : failed(found, remedy);
}

/** A header shows it, or a server on a public address sees a loopback one. */
function comesThroughProxy(target: Target, { headers }: Answer, address: string): boolean {
  if (isMarked(headers)) return true;
  const host = parseAddress(target.host);
  const isNear = isLoopback(target.host) || (host !== undefined && isPrivate(host));
  return !isNear && isLoopback(address);
}

function isMarked(headers: Headers): boolean {
  return proxyMarks.some((name) => headers.has(name));
}

const hostRemedy =
  "The server knows pages of its own by the Host header. Let the proxy pass it on with its port: in nginx, proxy_set_header Host $http_host.";

/** Whether the server gets the Host header as it was sent: it knows its own pages by it. */
export async function seesHost(target: Target): Promise<Verdict> {
  const headers = { origin: target.origin };
  const answer = await ask(target, `${target.http}/rendezvous/whoami`, { headers });
  if ("ok" in answer) return answer;
  if (isOriginRefused(answer)) return failed("the server refuses pages of its own", hostRemedy);
  const host = fieldOf(answer.json, "host");
  if (typeof host !== "string") return passed("the server does not say which Host it sees");
  const plain = new URL(target.origin).host;
  const full = `${inUrl(target.host)}:${target.port}`;
  if ([plain, full].includes(host.toLowerCase())) return passed(`the server sees the Host ${host}`);
  return passed(
    `the server sees the Host ${host} instead of ${plain}`,
    `${hostRemedy} Today every page may connect (DEV=true, or CORS_ORIGINS=*); else its own would be refused.`,
  );
}

/** Whether pages of `origin` may mint and redeem codes. */
export async function admitsOrigin(target: Target, origin: string): Promise<Verdict> {
  const answer = await ask(target, `${target.http}/rendezvous/redeem`, {
    method: "OPTIONS",
    headers: {
      origin,
      "access-control-request-method": "POST",
      "access-control-request-headers": "content-type",
    },
  });
  if ("ok" in answer) return answer;
  if (isOriginRefused(answer)) return refusedOrigin(origin);
  const allowed = answer.headers.get("access-control-allow-origin");
  const headers = answer.headers.get("access-control-allow-headers")?.toLowerCase() ?? "";
  const isFine = answer.status < 300 && /\*|content-type/.test(headers);
  if (isFine && (allowed === origin || allowed === "*")) {
    return passed(`pages of ${origin} may mint and redeem codes`);
  }
  return failed(
    `browsers keep pages of ${origin} from redeeming codes (OPTIONS is answered ${answer.status}, Access-Control-Allow-Origin: ${allowed ?? "none"})`,
    "A proxy answers OPTIONS itself, or adds CORS headers of its own. Let it pass both on: nt-signal answers them.",
  );
}

export function refusedOrigin(origin: string): Failed {
  return failed(
    `pages of ${origin} are refused`,
    `Add ${origin} to CORS_ORIGINS. Scheme, host and port have to be the page's.`,
  );
}

function isOriginRefused({ status, json }: Answer): boolean {
  return status === 403 && fieldOf(json, "code") === "origin_refused";
}

/** Whether the metrics can be read by all, at their usual path. */
export async function keepsMetrics(target: Target): Promise<Verdict> {
  for (const place of new Set([target.origin, target.http])) {
    const answer = await ask(target, `${place}/metrics`);
    if ("ok" in answer) return answer;
    if (answer.status !== 200 || !/^nt_\w+/m.test(answer.text)) continue;
    const isAtHome = isLoopback(target.host) && !isMarked(answer.headers);
    if (isAtHome) return passed("/metrics is open, but was read on the machine itself");
    return passed(
      "/metrics is open",
      "Whoever reaches this address can read them. Set METRICS_TOKEN, or let the proxy add X-Forwarded-For.",
    );
  }
  return passed("/metrics is not open");
}

/** Requests a URL of the server, as a client that follows no redirect. */
async function ask(
  target: Target,
  url: string,
  { method = "GET", headers = {}, body, address }: Question = {},
): Promise<Answer | Failed> {
  try {
    const json = body === undefined ? {} : { "content-type": "application/json" };
    const at = new URL(url);
    const { host } = at;
    if (address !== undefined) at.hostname = inUrl(address);
    const answer = await fetch(at, {
      method,
      redirect: "manual",
      signal: AbortSignal.timeout(timeoutMs),
      tls: { rejectUnauthorized: !target.insecure, ...(address && { serverName: target.host }) },
      headers: { ...(address && { host }), ...headers, ...json },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    return { status: answer.status, headers: answer.headers, text, json: parse(text) };
  } catch (error) {
    return connectionFault(error, target);
  }
}

/** What it means when the answer is not the one that a sound server gives. */
function wrongAnswer({ status, headers, json }: Answer, target: Target): Failed {
  return failed(`answered ${status}`, remedyOf(status, headers, json, target));
}

function remedyOf(status: number, headers: Headers, json: unknown, target: Target): string {
  if (status >= 200 && status < 300) {
    return "Something else than nt-signal answers. Check the host, the port and the proxy's route.";
  }
  if (status >= 300 && status < 400) {
    return `It redirects to ${headers.get("location") ?? "elsewhere"}; clients do not follow. Give them that address.`;
  }
  switch (status) {
    case 403:
      return (
        detailOf(json) ??
        "A rule of a proxy or firewall forbids it: nt-signal refuses only web pages whose origin is not in CORS_ORIGINS, and this is none."
      );
    case 404:
      return target.basePath === ""
        ? "There is no nt-signal at this path. If it serves below a base path, add that to the URL; if a proxy takes a part of the path away, set BASE_PATH to nothing."
        : `The base path ${target.basePath} may be wrong: it has to be the server's BASE_PATH, or one that the proxy takes away.`;
    case 429:
      return "Asked too often. Wait and try again; behind a proxy without TRUST_PROXY all clients share one limit (HTTP_RATE_PER_MIN, CODES_PER_CLIENT, REDEEM_FAILURES).";
    case 502:
    case 504:
      return "A proxy answers, but does not reach the server. Is it running, and is the proxy's upstream address right?";
    case 503:
      return (
        detailOf(json) ?? "The server, or a proxy before it, accepts no clients. Try again later."
      );
    default:
      return (
        detailOf(json) ?? "See the log of the server and of whatever proxy stands in front of it."
      );
  }
}

/** What the server says: a problem's detail (RFC 9457), or why it is not ready. */
function detailOf(json: unknown): string | undefined {
  const detail = fieldOf(json, "detail") ?? fieldOf(json, "reason");
  return typeof detail === "string" ? detail : undefined;
}

/** Undefined where `json` is no object or has no such field. */
export function fieldOf(json: unknown, name: string): unknown {
  if (typeof json !== "object" || json === null || !Object.hasOwn(json, name)) return undefined;
  return (json as Readonly<Record<string, unknown>>)[name];
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
