import { partOf, shareOf } from "../base/account.ts";
import { isLoopback } from "../base/network.ts";
import type { Config } from "./settings.ts";

/** The settings as far as they were read. */
export interface Draft {
  /** A value that is not valid is missing. */
  readonly values: { -readonly [K in keyof Config]?: Config[K] };
  /** Those that the operator gave; the others have their default. */
  readonly given: ReadonlySet<keyof Config>;
  /** Sentences for the log. They do not keep the server from starting. */
  readonly warnings: string[];
  /** Lines that say why it cannot start. */
  readonly problems: string[];
}

/** Checks settings that depend on each other, and sets defaults in `draft` that follow from others. */
export function applyRules(draft: Draft): void {
  for (const rule of [tls, pages, page, turn, sizes, codesAndMetrics, redis]) rule(draft);
}

function tls({ values, given, problems }: Draft): void {
  const [cert, key] = [given.has("tlsCertFile"), given.has("tlsKeyFile")];
  const file = "the path of a file";
  if (values.tlsSelfSigned && cert) {
    problems.push(problemLine("TLS_SELF_SIGNED", "true", "not set, because TLS_CERT_FILE is"));
  } else if (cert && !key) {
    problems.push(missing("TLS_KEY_FILE", file, "TLS_CERT_FILE", "plain HTTP"));
  } else if (key && !cert) {
    problems.push(missing("TLS_CERT_FILE", file, "TLS_KEY_FILE", "plain HTTP"));
  }
}

/**
 * `CORS_ORIGINS` turns `DEV` off unless that was given. `DEV` allows every origin, which deserves a
 * warning if other machines can reach the server.
 */
function pages({ values, given, warnings }: Draft): void {
  const listed = given.has("corsOrigins");
  if (listed && !given.has("dev")) values.dev = false;
  const isReachable = values.host === undefined || !isLoopback(values.host);
  if (!values.dev) {
    const all = values.corsOrigins?.find((entry) => entry === "*" || entry === "file://");
    if (all === undefined || !isReachable) return;
    const why = ", and any page can show itself in a sandbox, which has the same origin (null)";
    warnings.push(
      `Any web page may connect: CORS_ORIGINS lists ${all}${all === "*" ? "" : why}. ` +
        "On a public server list the pages that may.",
    );
    return;
  }
  if (listed) {
    warnings.push(
      "Any web page may connect: DEV=true wins over CORS_ORIGINS. Remove DEV to apply the list.",
    );
  } else if (isReachable) {
    warnings.push(
      "Any web page may connect: DEV is true. Set CORS_ORIGINS to the pages that may, or DEV=false.",
    );
  }
  if (given.has("serverNames")) {
    warnings.push(
      "SERVER_NAMES has no effect, because DEV is true. Set CORS_ORIGINS or DEV=false.",
    );
  }
}

/** `DEMO` is on by default only if every origin is allowed. */
function page({ values, given, warnings }: Draft): void {
  if (!given.has("demo") && values.dev !== undefined) values.demo = values.dev;
  if (values.open && !values.demo) {
    warnings.push("OPEN has no effect, because DEMO=false: there is no page.");
  }
}

function turn({ given, problems }: Draft): void {
  const [urls, secrets] = [given.has("turnUrls"), given.has("turnSecrets")];
  const secret = "the secret that these TURN servers share with this one";
  const servers = "a comma-separated list of the TURN servers with this secret";
  if (urls && !secrets) problems.push(missing("TURN_SECRET", secret, "TURN_URLS", "no TURN"));
  if (secrets && !urls) problems.push(missing("TURN_URLS", servers, "TURN_SECRET", "no TURN"));
}

/**
 * The largest message must fit into an empty mailbox, and the mail and buffers of one connection
 * into those of all. A mailbox bound that was not given grows with `WS_MAX_MSG`.
 */
function sizes(draft: Draft): void {
  const { values, given, warnings } = draft;
  const { wsMaxMsgBytes = 0, mailboxMaxBytes = wsMaxMsgBytes, mailTotalBytes } = values;
  if (mailboxMaxBytes < wsMaxMsgBytes && !given.has("mailboxMaxBytes")) {
    values.mailboxMaxBytes = wsMaxMsgBytes;
    warnings.push(
      `MAILBOX_MAX_BYTES is ${wsMaxMsgBytes} instead of ${mailboxMaxBytes}, ` +
        "so that a mailbox can hold a message of WS_MAX_MSG.",
    );
  }
  // Text that is not all ASCII counts two bytes a character.
  const needed = 2 * wsMaxMsgBytes;
  if (mailTotalBytes !== undefined && shareOf({ kind: "client" }, mailTotalBytes) < needed) {
    warnings.push(
      `MAIL_TOTAL_BYTES is ${mailTotalBytes}, and one client gets an eighth of it: mail ` +
        `of WS_MAX_MSG may not fit. ${partOf("client") * needed} is enough.`,
    );
  }
  atLeast(draft, "MAILBOX_MAX_BYTES", values.mailboxMaxBytes, "WS_MAX_MSG", wsMaxMsgBytes);
  atLeast(draft, "MAIL_TOTAL_BYTES", mailTotalBytes, "WS_MAX_MSG", wsMaxMsgBytes);
  atLeast(draft, "WS_BUFFER_TOTAL", values.wsBufferTotalBytes, "WS_BUFFER", values.wsBufferBytes);
}

/** `METRICS_ROUTE` is not below `BASE_PATH`, and must not hide a route that is. */
function codesAndMetrics(draft: Draft): void {
  const { codeDigits, codeDigitsMax, basePath = "", metricsRoute = "" } = draft.values;
  atLeast(draft, "CODE_DIGITS_MAX", codeDigitsMax, "CODE_DIGITS", codeDigits);
  if (basePath === "" || !metricsRoute.startsWith(`${basePath}/`)) return;
  const below = metricsRoute.slice(basePath.length);
  if (!/^\/(?:ws\/?$|rendezvous\/)/.test(below)) return;
  const allowed = `another path: BASE_PATH=${basePath} puts ${below} there`;
  draft.problems.push(problemLine("METRICS_ROUTE", metricsRoute, allowed));
}

/** Redis keeps the state. With sentinels its user and password still come from `REDIS_URL`. */
function redis({ values, given, problems, warnings }: Draft): void {
  const url = given.has("redisUrl");
  if (url && given.has("stateFile")) {
    const allowed = "not set, because REDIS_URL is: Redis keeps the state";
    problems.push(problemLine("STATE_FILE", values.stateFile, allowed));
  }
  if (given.has("redisCaFile") && !values.redisUrl?.startsWith("rediss://")) {
    const allowed = "not set, because REDIS_URL does not begin with rediss://";
    problems.push(problemLine("REDIS_CA_FILE", values.redisCaFile, allowed));
  }
  if (given.has("redisSentinels") && !url) {
    const allowed =
      "set, because REDIS_SENTINELS is: its scheme, user, password and database are the primary's " +
      "(redis://:password@primary)";
    problems.push(problemLine("REDIS_URL", undefined, allowed));
  }
  if (given.has("redisSentinelUser") && !given.has("redisSentinelPassword")) {
    const allowed =
      "the password of REDIS_SENTINEL_USER, which is set; any text if it has no password";
    problems.push(problemLine("REDIS_SENTINEL_PASSWORD", undefined, allowed));
  }
  if (given.has("drainMs") && !url) {
    warnings.push(
      "DRAIN moves peers to other servers, which needs REDIS_URL: without it all are disconnected " +
        "at once. It only adds to how long a start waits for STATE_FILE.",
    );
  }
}

function atLeast(
  { problems }: Draft,
  variable: string,
  value = Infinity,
  other: string,
  lowest = 0,
): void {
  if (value >= lowest) return;
  problems.push(problemLine(variable, `${value}`, `at least ${lowest}, the value of ${other}`));
}

/** `variable` is not set, but `present`, which is of no use without it. */
function missing(variable: string, allowed: string, present: string, instead: string): string {
  const reason = `because ${present} is set; for ${instead} set neither`;
  return problemLine(variable, undefined, `${allowed}, ${reason}`);
}

/** `PORT="abc": a whole number from 0 to 65535`. What is allowed is in words that follow "must be". */
export function problemLine(variable: string, value: string | undefined, allowed: string): string {
  return `${variable}${value === undefined ? " (not set)" : `=${JSON.stringify(value)}`}: ${allowed}`;
}
