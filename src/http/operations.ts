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
}

/** What an operator's tools ask: is it alive, may it have work, how is it doing. */
export function operations(options: OperationsOptions): Hono<HttpEnv> {
  const { ready, warning, loadMetrics, metricsRoute, metricsToken } = options;
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

function unauthorized(): Response {
  const answer = problem("unauthorized");
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
