import { partOf, shareOf } from "../base/account.ts";
import { isLoopback } from "../base/network.ts";
import type { Config, SettingError } from "./settings.ts";

/** The settings read so far, each by itself; what was not valid is missing. */
export interface Draft {
  readonly values: { -readonly [K in keyof Config]?: Config[K] };
  /** The operator gave this one; it isn't the default. */
  readonly given: ReadonlySet<keyof Config>;
}

interface Findings {
  readonly problems: readonly SettingError[];
  readonly warnings: readonly string[];
}

const fine: Findings = { problems: [], warnings: [] };

/** Checks settings that depend on each other, and sets defaults in the draft that follow from others. */
export function applyRules(draft: Draft): Findings {
  const findings = [
    tlsNeedsBoth(draft),
    pagesAdmitted(draft),
    demoFollowsDev(draft),
    turnNeedsBoth(draft),
    ...messagesFit(draft),
    codesCanGrow(draft),
    metricsStandApart(draft),
    redisTakesAll(draft),
    drainNeedsOthers(draft),
  ];
  return {
    problems: findings.flatMap((finding) => finding.problems),
    warnings: findings.flatMap((finding) => finding.warnings),
  };
}

function tlsNeedsBoth({ values, given }: Draft): Findings {
  if (values.tlsSelfSigned && given.has("tlsCertFile")) {
    const allowed = "not set, because TLS_CERT_FILE is";
    return { ...fine, problems: [{ variable: "TLS_SELF_SIGNED", value: "true", allowed }] };
  }
  if (given.has("tlsCertFile") === given.has("tlsKeyFile")) return fine;
  const [present, missing] = given.has("tlsCertFile")
    ? ["TLS_CERT_FILE", "TLS_KEY_FILE"]
    : ["TLS_KEY_FILE", "TLS_CERT_FILE"];
  const allowed = `the path of a file, because ${present} is set; for plain HTTP set neither`;
  return { ...fine, problems: [{ variable: missing, value: undefined, allowed }] };
}

/**
 * `STATE_FILE` would hold nothing with Redis, `REDIS_CA_FILE` needs TLS, and with sentinels the
 * primary's password comes from `REDIS_URL`.
 */
function redisTakesAll({ values, given }: Draft): Findings {
  const problems: SettingError[] = [];
  if (given.has("redisUrl") && given.has("stateFile")) {
    const allowed = "not set, because REDIS_URL is: Redis keeps the state";
    problems.push({ variable: "STATE_FILE", value: values.stateFile, allowed });
  }
  if (given.has("redisCaFile") && !values.redisUrl?.startsWith("rediss://")) {
    const allowed = "not set, because REDIS_URL does not begin with rediss://";
    problems.push({ variable: "REDIS_CA_FILE", value: values.redisCaFile, allowed });
  }
  if (given.has("redisSentinels") && !given.has("redisUrl")) {
    const allowed =
      "set, because REDIS_SENTINELS is: its scheme, user, password and database are the primary's " +
      "(redis://:password@primary)";
    problems.push({ variable: "REDIS_URL", value: undefined, allowed });
  }
  if (given.has("redisSentinelUser") && !given.has("redisSentinelPassword")) {
    const allowed = "the password of REDIS_SENTINEL_USER, which is set; any where it has none";
    problems.push({ variable: "REDIS_SENTINEL_PASSWORD", value: undefined, allowed });
  }
  return { ...fine, problems };
}

/** A single server disconnects its peers at once: there is no other one for them to go to. */
function drainNeedsOthers({ given }: Draft): Findings {
  if (!given.has("drainMs") || given.has("redisUrl")) return fine;
  const warning =
    "DRAIN moves peers to other servers, and without REDIS_URL there are none: all are disconnected " +
    "at once. It only adds to how long a start waits for STATE_FILE.";
  return { ...fine, warnings: [warning] };
}

/**
 * `CORS_ORIGINS` turns `DEV` off unless it was given: `DEV` admits every origin. That is worth a warning
 * where other machines reach the server.
 */
function pagesAdmitted({ values, given }: Draft): Findings {
  const listed = given.has("corsOrigins");
  if (listed && !given.has("dev")) values.dev = false;
  const isReachable = values.host === undefined || !isLoopback(values.host);
  if (values.dev !== true) return isReachable ? allOriginsListed(values) : fine;
  const warning = listed
    ? "Any web page may connect: DEV=true wins over CORS_ORIGINS. Remove DEV to apply the list."
    : "Any web page may connect: DEV is true. Set CORS_ORIGINS to the pages that may, or DEV=false.";
  const warnings = isReachable || listed ? [warning] : [];
  if (given.has("serverNames")) {
    warnings.push(
      "SERVER_NAMES has no effect, because DEV is true. Set CORS_ORIGINS or DEV=false.",
    );
  }
  return { ...fine, warnings };
}

function allOriginsListed({ corsOrigins }: Draft["values"]): Findings {
  const all = corsOrigins?.find((entry) => entry === "*" || entry === "file://");
  if (all === undefined) return fine;
  const why =
    all === "*"
      ? ""
      : ", and any page can show itself in a sandbox, which has the same origin (null)";
  const warning =
    `Any web page may connect: CORS_ORIGINS lists ${all}${why}. ` +
    "On a public server list the pages that may.";
  return { ...fine, warnings: [warning] };
}

/** A server that admits only some origins serves the page only when `DEMO` says so. */
function demoFollowsDev({ values, given }: Draft): Findings {
  if (!given.has("demo") && values.dev !== undefined) values.demo = values.dev;
  if (!values.open || values.demo) return fine;
  return { ...fine, warnings: ["OPEN has no effect, because DEMO=false: there is no page."] };
}

function turnNeedsBoth({ given }: Draft): Findings {
  if (given.has("turnUrls") === given.has("turnSecrets")) return fine;
  const [present, missing, allowed] = given.has("turnUrls")
    ? ["TURN_URLS", "TURN_SECRET", "the secret that these TURN servers share with this one"]
    : ["TURN_SECRET", "TURN_URLS", "a comma-separated list of the TURN servers with this secret"];
  const because = `${allowed}, because ${present} is set; for no TURN set neither`;
  return { ...fine, problems: [{ variable: missing, value: undefined, allowed: because }] };
}

/**
 * The largest message must fit into an empty mailbox, and the mail and buffers of one connection
 * into those of all. A mailbox bound that was not given grows with `WS_MAX_MSG`.
 */
function messagesFit(draft: Draft): Findings[] {
  const { values, given } = draft;
  const { wsMaxMsgBytes, mailboxMaxBytes } = values;
  const warnings: string[] = [];
  if (wsMaxMsgBytes !== undefined && mailboxMaxBytes !== undefined) {
    if (mailboxMaxBytes < wsMaxMsgBytes && !given.has("mailboxMaxBytes")) {
      values.mailboxMaxBytes = wsMaxMsgBytes;
      warnings.push(
        `MAILBOX_MAX_BYTES is ${wsMaxMsgBytes} instead of ${mailboxMaxBytes}, ` +
          "so that a mailbox can hold a message of WS_MAX_MSG.",
      );
    }
  }
  const share = shareOf({ kind: "client" }, values.mailTotalBytes ?? 0);
  if (wsMaxMsgBytes !== undefined && values.mailTotalBytes !== undefined) {
    // Text that is not all ASCII counts two bytes a character.
    if (share < 2 * wsMaxMsgBytes) {
      warnings.push(
        `MAIL_TOTAL_BYTES is ${values.mailTotalBytes}, and one client gets an eighth of it: mail ` +
          `of WS_MAX_MSG may not fit. ${2 * partOf("client") * wsMaxMsgBytes} is enough.`,
      );
    }
  }
  return [
    { ...fine, warnings },
    atLeast(values, ["MAILBOX_MAX_BYTES", "mailboxMaxBytes"], ["WS_MAX_MSG", "wsMaxMsgBytes"]),
    atLeast(values, ["MAIL_TOTAL_BYTES", "mailTotalBytes"], ["WS_MAX_MSG", "wsMaxMsgBytes"]),
    atLeast(values, ["WS_BUFFER_TOTAL", "wsBufferTotalBytes"], ["WS_BUFFER", "wsBufferBytes"]),
  ];
}

/** The greatest length is no less than the smallest. */
function codesCanGrow({ values }: Draft): Findings {
  const { codeDigits, codeDigitsMax } = values;
  if (codeDigits === undefined || codeDigitsMax === undefined) return fine;
  if (codeDigits <= codeDigitsMax) return fine;
  const allowed = `at least ${codeDigits}, the value of CODE_DIGITS`;
  const value = String(codeDigitsMax);
  return { ...fine, problems: [{ variable: "CODE_DIGITS_MAX", value, allowed }] };
}

/** `METRICS_ROUTE` is not below `BASE_PATH`, and must not hide a route that is. */
function metricsStandApart({ values }: Draft): Findings {
  const { basePath, metricsRoute } = values;
  if (basePath === undefined || metricsRoute === undefined || basePath === "") return fine;
  const below = metricsRoute.startsWith(`${basePath}/`) && metricsRoute.slice(basePath.length);
  if (below === false || !/^\/(?:ws\/?$|rendezvous\/)/.test(below)) return fine;
  const allowed = `another path: BASE_PATH=${basePath} puts ${below} there`;
  return { ...fine, problems: [{ variable: "METRICS_ROUTE", value: metricsRoute, allowed }] };
}

type SizeKey = Extract<keyof Config, `${string}Bytes`>;

function atLeast(
  values: Draft["values"],
  [variable, key]: readonly [string, SizeKey],
  [lowerVariable, lowerKey]: readonly [string, SizeKey],
): Findings {
  const value = values[key];
  const lowest = values[lowerKey];
  if (value === undefined || lowest === undefined || value >= lowest) return fine;
  const allowed = `at least ${lowest}, the value of ${lowerVariable}`;
  return { ...fine, problems: [{ variable, value: String(value), allowed }] };
}
