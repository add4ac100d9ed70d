import { partOf, shareOf } from "../base/account.ts";
import { isLoopback } from "../base/network.ts";
import type { Config } from "./settings.ts";

/** The settings read so far, each by itself; what was not valid is missing. */
export interface Draft {
  readonly values: { -readonly [K in keyof Config]?: Config[K] };
  /** The operator gave this one; it isn't the default. */
  readonly given: ReadonlySet<keyof Config>;
}

/** A sentence for the log of a server that starts all the same, or a line on why it cannot start. */
export type Finding = { readonly warning: string } | { readonly problem: string };

/** Checks settings that depend on each other, and sets defaults in `draft` that follow from others. */
export function* applyRules(draft: Draft): Generator<Finding> {
  yield* tls(draft);
  yield* pages(draft);
  yield* page(draft);
  yield* turn(draft);
  yield* sizes(draft);
  yield* codesAndMetrics(draft);
  yield* redis(draft);
}

function* tls({ values, given }: Draft) {
  const [cert, key] = [given.has("tlsCertFile"), given.has("tlsKeyFile")];
  if (values.tlsSelfSigned && cert) {
    yield refused("TLS_SELF_SIGNED", "true", "not set, because TLS_CERT_FILE is");
  } else if (cert !== key) {
    const [present, missing] = cert
      ? ["TLS_CERT_FILE", "TLS_KEY_FILE"]
      : ["TLS_KEY_FILE", "TLS_CERT_FILE"];
    const allowed = `the path of a file, because ${present} is set; for plain HTTP set neither`;
    yield refused(missing, undefined, allowed);
  }
}

/**
 * `CORS_ORIGINS` turns `DEV` off unless it was given: `DEV` admits every origin. That is worth a warning
 * where other machines reach the server.
 */
function* pages({ values, given }: Draft) {
  const listed = given.has("corsOrigins");
  if (listed && !given.has("dev")) values.dev = false;
  const isReachable = values.host === undefined || !isLoopback(values.host);
  if (values.dev !== true) {
    const all = values.corsOrigins?.find((entry) => entry === "*" || entry === "file://");
    if (all === undefined || !isReachable) return;
    const why = ", and any page can show itself in a sandbox, which has the same origin (null)";
    yield {
      warning:
        `Any web page may connect: CORS_ORIGINS lists ${all}${all === "*" ? "" : why}. ` +
        "On a public server list the pages that may.",
    };
    return;
  }
  if (listed) {
    yield {
      warning:
        "Any web page may connect: DEV=true wins over CORS_ORIGINS. Remove DEV to apply the list.",
    };
  } else if (isReachable) {
    yield {
      warning:
        "Any web page may connect: DEV is true. Set CORS_ORIGINS to the pages that may, or DEV=false.",
    };
  }
  if (given.has("serverNames")) {
    yield {
      warning: "SERVER_NAMES has no effect, because DEV is true. Set CORS_ORIGINS or DEV=false.",
    };
  }
}

/** A server that admits only some origins serves the page only when `DEMO` says so. */
function* page({ values, given }: Draft) {
  if (!given.has("demo") && values.dev !== undefined) values.demo = values.dev;
  if (values.open && !values.demo)
    yield { warning: "OPEN has no effect, because DEMO=false: there is no page." };
}

function* turn({ given }: Draft) {
  if (given.has("turnUrls") === given.has("turnSecrets")) return;
  const [present, missing, allowed] = given.has("turnUrls")
    ? ["TURN_URLS", "TURN_SECRET", "the secret that these TURN servers share with this one"]
    : ["TURN_SECRET", "TURN_URLS", "a comma-separated list of the TURN servers with this secret"];
  yield refused(
    missing,
    undefined,
    `${allowed}, because ${present} is set; for no TURN set neither`,
  );
}

/**
 * The largest message must fit into an empty mailbox, and the mail and buffers of one connection
 * into those of all. A mailbox bound that was not given grows with `WS_MAX_MSG`.
 */
function* sizes({ values, given }: Draft) {
  const { wsMaxMsgBytes = 0, mailboxMaxBytes = wsMaxMsgBytes, mailTotalBytes } = values;
  if (mailboxMaxBytes < wsMaxMsgBytes && !given.has("mailboxMaxBytes")) {
    values.mailboxMaxBytes = wsMaxMsgBytes;
    yield {
      warning:
        `MAILBOX_MAX_BYTES is ${wsMaxMsgBytes} instead of ${mailboxMaxBytes}, ` +
        "so that a mailbox can hold a message of WS_MAX_MSG.",
    };
  }
  // Text that is not all ASCII counts two bytes a character.
  const needed = 2 * wsMaxMsgBytes;
  if (mailTotalBytes !== undefined && shareOf({ kind: "client" }, mailTotalBytes) < needed) {
    yield {
      warning:
        `MAIL_TOTAL_BYTES is ${mailTotalBytes}, and one client gets an eighth of it: mail ` +
        `of WS_MAX_MSG may not fit. ${partOf("client") * needed} is enough.`,
    };
  }
  yield* atLeast("MAILBOX_MAX_BYTES", values.mailboxMaxBytes, "WS_MAX_MSG", wsMaxMsgBytes);
  yield* atLeast("MAIL_TOTAL_BYTES", mailTotalBytes, "WS_MAX_MSG", wsMaxMsgBytes);
  yield* atLeast("WS_BUFFER_TOTAL", values.wsBufferTotalBytes, "WS_BUFFER", values.wsBufferBytes);
}

/** `METRICS_ROUTE` is not below `BASE_PATH`, and must not hide a route that is. */
function* codesAndMetrics({ values }: Draft) {
  yield* atLeast("CODE_DIGITS_MAX", values.codeDigitsMax, "CODE_DIGITS", values.codeDigits);
  const { basePath = "", metricsRoute = "" } = values;
  if (basePath === "" || !metricsRoute.startsWith(`${basePath}/`)) return;
  const below = metricsRoute.slice(basePath.length);
  if (!/^\/(?:ws\/?$|rendezvous\/)/.test(below)) return;
  const allowed = `another path: BASE_PATH=${basePath} puts ${below} there`;
  yield refused("METRICS_ROUTE", metricsRoute, allowed);
}

/** Redis keeps the state; with sentinels its user and password still come from `REDIS_URL`. */
function* redis({ values, given }: Draft) {
  const url = given.has("redisUrl");
  if (url && given.has("stateFile")) {
    const allowed = "not set, because REDIS_URL is: Redis keeps the state";
    yield refused("STATE_FILE", values.stateFile, allowed);
  }
  if (given.has("redisCaFile") && !values.redisUrl?.startsWith("rediss://")) {
    const allowed = "not set, because REDIS_URL does not begin with rediss://";
    yield refused("REDIS_CA_FILE", values.redisCaFile, allowed);
  }
  if (given.has("redisSentinels") && !url) {
    const allowed =
      "set, because REDIS_SENTINELS is: its scheme, user, password and database are the primary's " +
      "(redis://:password@primary)";
    yield refused("REDIS_URL", undefined, allowed);
  }
  if (given.has("redisSentinelUser") && !given.has("redisSentinelPassword")) {
    const allowed =
      "the password of REDIS_SENTINEL_USER, which is set; any text if it has no password";
    yield refused("REDIS_SENTINEL_PASSWORD", undefined, allowed);
  }
  if (given.has("drainMs") && !url) {
    yield {
      warning:
        "DRAIN moves peers to other servers, which needs REDIS_URL: without it all are disconnected " +
        "at once. It only adds to how long a start waits for STATE_FILE.",
    };
  }
}

function* atLeast(variable: string, value = Infinity, other: string, lowest = 0) {
  if (value < lowest) {
    yield refused(variable, String(value), `at least ${lowest}, the value of ${other}`);
  }
}

function refused(variable: string, value: string | undefined, allowed: string): Finding {
  return { problem: problemLine(variable, value, allowed) };
}

/** `PORT="abc": a whole number from 0 to 65535`. What is allowed is in words that follow "must be". */
export function problemLine(variable: string, value: string | undefined, allowed: string): string {
  return `${variable}${value === undefined ? " (not set)" : `=${JSON.stringify(value)}`}: ${allowed}`;
}
