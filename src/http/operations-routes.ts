import { createHash, timingSafeEqual } from "node:crypto";
import type { MaybePromise } from "../base/maybe-promise.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { answerJson, commonHeaders } from "./answer.ts";
import { problem } from "./problem.ts";
import type { Routes } from "./routes.ts";

export interface OperationsRouteOptions {
  /** Undefined while the server can take on work; else why not, in words for an operator. */
  readonly ready: () => MaybePromise<string | undefined>;
  /** Asked once, with the first scrape. */
  readonly loadMetrics: () => Promise<Metrics>;
  readonly metricsRoute: string;
  /** What a scraper has to show to see the metrics; empty: nothing. */
  readonly metricsToken: string;
}

/** What an operator's tools ask: is it alive, may it have work, how is it doing. */
export function operationsRoutes(
  routes: Routes,
  { ready, loadMetrics, metricsRoute, metricsToken }: OperationsRouteOptions,
): void {
  let loaded: Promise<Metrics> | undefined;
  routes.get("/healthz", () => answerJson({ ok: true }));

  routes.get("/readyz", async () => {
    const reason = await reasonAgainst(ready);
    return reason === undefined
      ? answerJson({ ready: true })
      : answerJson({ ready: false, reason }, 503);
  });

  routes.get(metricsRoute, async (request) => {
    if (!shows(request, metricsToken)) return unauthorized();
    loaded ??= loadMetrics();
    const { contentType, text } = await loaded;
    const headers = { "Content-Type": contentType, ...commonHeaders };
    return new Response(await text(), { headers });
  });
}

/**
 * Whether the request bears the token (RFC 6750 section 2.1; the scheme in any case, RFC 9110
 * section 11.1). Compares in constant time.
 */
function shows(request: Request, token: string): boolean {
  if (token === "") return true;
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
