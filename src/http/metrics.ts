import type { Hono } from "hono";
import type { Metrics } from "../telemetry/metrics.ts";
import { answerText } from "./answer.ts";
import type { HttpEnv } from "./calls.ts";
import { problem } from "./problem.ts";

export interface MetricsOptions {
  /** Called once, with the first scrape. */
  readonly loadMetrics: () => Promise<Metrics>;
  readonly metricsRoute: string;
  /** What a scraper has to show to see the metrics; empty: nothing. */
  readonly metricsToken: string;
  /** A header of the operator's proxies that names the client; empty: one of the usual ones. */
  readonly clientIpHeader: string;
}

const proxyNeedsToken =
  "Through a proxy the metrics are given only with METRICS_TOKEN, which is not set. " +
  "Set it, or ask the server itself.";

/** Headers in which proxies and CDNs name themselves, or their client. */
const proxyHeader =
  /^(?:forwarded|via|cdn-loop|cf-.+|x-(?:forwarded|original|envoy|azure|amz|appengine|arr).*|(?:.+-)?(?:client|real|remote|originating|user)-?(?:ip|addr)(?:-.+)?)$/;

/** Serves the metrics to scrapers. */
export function metricsRoute(app: Hono<HttpEnv>, options: MetricsOptions): void {
  const { loadMetrics, metricsRoute, metricsToken, clientIpHeader } = options;
  let loaded: Promise<Metrics> | undefined;
  app.get(metricsRoute, async ({ req }) => {
    if (metricsToken === "" && cameThroughProxy(req.raw.headers, clientIpHeader)) {
      return unauthorized(proxyNeedsToken);
    }
    if (!(await hasToken(req.raw, metricsToken))) return unauthorized();
    loaded ??= loadMetrics();
    const { contentType, text } = await loaded;
    return answerText(await text(), contentType);
  });
}

/**
 * Whether a proxy passed the request on. A path that a proxy does not publish can be asked for in other
 * spellings: the runtime resolves `/a\\..\\metrics` to `/metrics`.
 */
function cameThroughProxy(headers: Headers, clientIpHeader: string): boolean {
  const own = clientIpHeader.toLowerCase();
  return [...headers.keys()].some((name) => proxyHeader.test(name) || name === own);
}

/**
 * Whether the request bears the token (RFC 6750 section 2.1; the scheme in any case, RFC 9110
 * section 11.1). Compares in constant time.
 */
async function hasToken(request: Request, token: string): Promise<boolean> {
  if (token === "") return true;
  const { createHash, timingSafeEqual } = await import("node:crypto");
  const digest = (text: string) => createHash("sha256").update(text).digest();
  const shown = /^bearer +(.*)$/i.exec(request.headers.get("authorization") ?? "")?.[1] ?? "";
  return timingSafeEqual(digest(shown), digest(token));
}

function unauthorized(detail?: string): Response {
  const answer = problem("unauthorized", detail === undefined ? {} : { detail });
  answer.headers.set("WWW-Authenticate", "Bearer");
  return answer;
}
