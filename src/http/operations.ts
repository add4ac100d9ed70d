import { Hono } from "hono";
import type { MaybePromise } from "../base/maybe-promise.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { answerJson, answerText } from "./answer.ts";
import type { HttpEnv } from "./app.ts";
import { problem } from "./problem.ts";

export interface OperationsOptions {
  /** Undefined while the server can take on work; else why not, in a sentence for an operator. */
  readonly ready: () => MaybePromise<string | undefined>;
  /** What it refuses although it is ready, likewise. */
  readonly warning: () => string | undefined;
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

/** Headers by which proxies and CDNs say that they are in between, or for whom. */
const proxyHeader =
  /^(?:forwarded|via|cdn-loop|cf-.+|x-(?:forwarded|original|envoy|azure|amz|appengine|arr).*|(?:.+-)?(?:client|real|remote|originating|user)-?(?:ip|addr)(?:-.+)?)$/;

/**
 * Whether a proxy passed the request on. What a proxy keeps from the public by its path can be asked
 * for by other spellings: the runtime resolves `/a\\..\\metrics` to `/metrics`.
 */
function cameThroughProxy(headers: Headers, clientIpHeader: string): boolean {
  const own = clientIpHeader.toLowerCase();
  for (const name of headers.keys()) {
    if (proxyHeader.test(name) || name === own) return true;
  }
  return false;
}

/** What an operator's tools ask: is it alive, may it have work, how is it doing. */
export function operations(options: OperationsOptions): Hono<HttpEnv> {
  const { ready, warning, loadMetrics, metricsRoute, metricsToken, clientIpHeader } = options;
  let loaded: Promise<Metrics> | undefined;
  const app = new Hono<HttpEnv>();
  app.get("/healthz", () => answerJson({ ok: true }));

  app.get("/readyz", async () => {
    const reason = await reasonAgainst(ready);
    return reason === undefined
      ? answerJson({ ready: true, warning: warning() })
      : answerJson({ ready: false, reason }, 503);
  });

  app.get(metricsRoute, async ({ req }) => {
    if (metricsToken === "" && cameThroughProxy(req.raw.headers, clientIpHeader)) {
      return unauthorized(proxyNeedsToken);
    }
    if (!(await hasToken(req.raw, metricsToken))) return unauthorized();
    loaded ??= loadMetrics();
    const { contentType, text } = await loaded;
    return answerText(await text(), contentType);
  });
  return app;
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

/** A check that fails is a reason as well; what it failed of stays inside. */
async function reasonAgainst(
  ready: () => MaybePromise<string | undefined>,
): Promise<string | undefined> {
  try {
    return await ready();
  } catch {
    return "The engine cannot be reached.";
  }
}
