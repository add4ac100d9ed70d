import type { OriginRule } from "../admission/origin.ts";
import { andThen } from "../base/maybe-promise.ts";
import type { Tally } from "../telemetry/tally.ts";
import { commonHeaders } from "./answer.ts";
import { problem } from "./problem.ts";
import type { Handler } from "./routes.ts";

/**
 * CORS (Fetch standard, section 3.3) without credentials: lets `handle` see only requests of allowed
 * origins, whose pages may read the answer. It wraps handlers where a middleware would cost every
 * request a chain of promises.
 */
export function crossOrigin(
  allows: OriginRule,
  tally: Pick<Tally, "refusals">,
): (handle: Handler) => Handler {
  return (handle) => (request) => {
    const { headers } = request;
    const origin = headers.get("origin");
    if (origin === null) return handle(request);
    if (allows(origin, headers.get("host"))) {
      return andThen(handle(request), (response) => share(response, origin));
    }
    tally.refusals.origin++;
    return problem("origin_refused");
  };
}

/** Lets pages of `origin` read the response. */
export function share(response: Response, origin: string): Response {
  response.headers.set("Access-Control-Allow-Origin", origin);
  response.headers.set(
    "Access-Control-Expose-Headers",
    "Date, RateLimit, RateLimit-Policy, Retry-After",
  );
  return response;
}

/**
 * Answers OPTIONS for a path with these methods: 204 with Allow, and what a preflight wants to
 * know: which methods and headers a page may use, for 10 minutes.
 */
export function answerOptions(request: Request, methods: string): Response {
  const headers = new Headers({ Allow: methods, ...commonHeaders });
  if (request.headers.has("access-control-request-method")) {
    headers.set("Access-Control-Allow-Methods", methods);
    headers.set("Access-Control-Allow-Headers", "Content-Type");
    headers.set("Access-Control-Max-Age", "600");
  }
  return new Response(null, { status: 204, headers });
}
