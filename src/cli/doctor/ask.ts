import { connectionFault } from "./connection-faults.ts";
import type { Target } from "./target.ts";
import { type Failed, failed } from "./verdict.ts";

/** An answer, read to its end. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** Undefined when the body is no JSON. */
  readonly json: unknown;
}

export interface Question {
  readonly method?: "GET" | "POST";
  /** Sent as JSON. */
  readonly body?: unknown;
}

const timeoutMs = 10_000;

/** Asks one URL of the server, as a client that follows no redirect. */
export async function ask(
  target: Target,
  url: string,
  { method = "GET", body }: Question = {},
): Promise<Answer | Failed> {
  try {
    const answer = await fetch(url, {
      method,
      redirect: "manual",
      signal: AbortSignal.timeout(timeoutMs),
      tls: { rejectUnauthorized: !target.insecure },
      ...(body === undefined
        ? {}
        : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
    });
    return { status: answer.status, headers: answer.headers, json: parse(await answer.text()) };
  } catch (error) {
    return connectionFault(error, target);
  }
}

/** What it means when the answer is not the one that a sound server gives. */
export function wrongAnswer({ status, headers, json }: Answer, target: Target): Failed {
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
      return "A rule of a proxy or firewall forbids it: nt-signal refuses only web pages whose origin is not in CORS_ORIGINS, and this is none.";
    case 404:
      return target.basePath === ""
        ? "There is no nt-signal at this path. If it serves below a base path, add that to the URL; if a proxy takes a part of the path away, set BASE_PATH to nothing."
        : `The base path ${target.basePath} may be wrong: it has to be the server's BASE_PATH, or one that the proxy takes away.`;
    case 429:
      return "Asked too often. Wait and try again; behind a proxy without TRUST_PROXY everybody shares one limit (HTTP_RATE_PER_MIN, CODES_PER_CLIENT, REDEEM_FAILURES).";
    case 502:
    case 504:
      return "A proxy answers, but does not reach the server. Is it running, and is the proxy's upstream address right?";
    case 503:
      return (
        detailOf(json) ?? "The server, or a proxy before it, takes no one on. Try again later."
      );
    default:
      return (
        detailOf(json) ?? "See the log of the server and of whatever proxy stands in front of it."
      );
  }
}

/** The server's own words (RFC 9457). */
function detailOf(json: unknown): string | undefined {
  const detail = fieldOf(json, "detail") ?? fieldOf(json, "reason");
  return typeof detail === "string" ? detail : undefined;
}

/** A field of what may be no object at all. */
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
