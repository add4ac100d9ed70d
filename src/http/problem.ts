import { commonHeaders } from "./answer.ts";

// Usual waits before the next try.
/** By then a successor listens, or a balancer has noticed. */
const drainingMs = 1_000;
/** Most outages of a store are restarts. */
const unreachableMs = 2_000;
const fullMs = 10_000;

/** The phrase of each status (RFC 9110 section 15). */
const titles = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  410: "Gone",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  426: "Upgrade Required",
  429: "Too Many Requests",
  500: "Internal Server Error",
  503: "Service Unavailable",
} as const;

/**
 * Every fault of a request: its status, a sentence for people and, if waiting helps, the usual wait. The
 * names are the stable `code` that clients may act upon.
 */
const problems = {
  malformed: [400, "The request cannot be understood."],
  unauthorized: [401, "Send METRICS_TOKEN as a bearer token."],
  origin_refused: [
    403,
    "Pages of this origin may not use this server; its operator can list the origin in CORS_ORIGINS.",
  ],
  ice_refused: [403, "This side of the room gets no ICE servers."],
  not_found: [404, "There is nothing at this path."],
  method_not_allowed: [405, "Use one of the methods in the Allow header."],
  code_gone: [410, "The code is unknown, used or expired. Ask for a new one."],
  code_withdrawn: [
    410,
    "Others tried so many wrong codes that this one is not safe any more. Ask for a new one.",
  ],
  body_too_large: [413, "The body may have at most 4096 bytes."],
  not_json: [415, "Send the body as application/json."],
  upgrade_required: [426, "Open this path as a WebSocket."],
  rate_limited: [429, "This address asks too often. Wait before the next try."],
  client_full: [
    429,
    "This address holds as many codes as it may. Used and expired ones count for another ROOM_TTL: wait as long as Retry-After says.",
  ],
  too_many_misses: [
    429,
    "This address has redeemed too many wrong codes. Wait before the next try.",
  ],
  shared_misses: [
    429,
    "Too many wrong codes come through this proxy, which does not tell its clients apart. If it is yours, name it in TRUST_PROXY, and its header in CLIENT_IP_HEADER.",
  ],
  too_many_sockets: [
    429,
    "This address has as many connections open as it may. Close one first.",
    fullMs,
  ],
  too_many_rooms: [
    429,
    "This address holds as many rooms as it may. Leave one, or use a code of this server's.",
    fullMs,
  ],
  internal: [500, "The server failed. Try again later."],
  codes_full: [503, "No code is free. Try again later."],
  rooms_full: [503, "No room is free. Try again later.", fullMs],
  sockets_full: [503, "No connection is free. Try again later.", fullMs],
  store_unreachable: [
    503,
    "The server cannot reach its store. Try again shortly, here or at another one.",
    unreachableMs,
  ],
  draining: [503, "The server is shutting down. Connect again shortly.", drainingMs],
} as const satisfies Record<string, Problem>;

type Problem = readonly [status: keyof typeof titles, detail: string, retryAfterMs?: number];
export type ProblemCode = keyof typeof problems;

export const problemCodes = Object.keys(problems) as [ProblemCode, ...ProblemCode[]];

export function statusOf(code: ProblemCode): number {
  return problems[code][0];
}

export interface ProblemOptions {
  /** What is wrong with this request, in place of the general sentence. Never a cause or secret. */
  readonly detail?: string | undefined;
  /** In place of the usual wait. Sent in whole seconds, rounded up, at least 1 (RFC 9110 section 10.2.3). */
  readonly retryAfterMs?: number;
  /** For Allow. */
  readonly allow?: string;
}

/** An answer that still knows its problem, for the log. */
export class ProblemResponse extends Response {
  constructor(
    readonly code: ProblemCode,
    /** What is wrong with this request; undefined if the code says it all. */
    readonly detail: string | undefined,
    body: string,
    init: ResponseInit,
  ) {
    super(body, init);
  }
}

/** What is wrong in a sentence, and when to try again; undefined where waiting does not help. */
export function faultOf(code: ProblemCode, options: ProblemOptions = {}) {
  const [, general, usualRetryMs]: Problem = problems[code];
  const { detail = general, retryAfterMs = usualRetryMs } = options;
  return { detail, retryAfterMs };
}

/** An error as `application/problem+json` (RFC 9457), of the type `about:blank`. */
export function problem(code: ProblemCode, options: ProblemOptions = {}): ProblemResponse {
  const [status]: Problem = problems[code];
  const { detail, retryAfterMs } = faultOf(code, options);
  const headers = new Headers({ "Content-Type": "application/problem+json", ...commonHeaders });
  if (retryAfterMs !== undefined) {
    headers.set("Retry-After", String(Math.max(1, Math.ceil(retryAfterMs / 1000))));
  }
  if (options.allow !== undefined) headers.set("Allow", options.allow);
  const body = { status, title: titles[status], code, detail };
  return new ProblemResponse(code, options.detail, JSON.stringify(body), { status, headers });
}
