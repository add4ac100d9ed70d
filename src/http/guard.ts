import type { Client } from "../admission/clients.ts";
import type { OriginRule } from "../admission/origin.ts";
import { type Passage, type RateLimiter, setRateLimitHeaders } from "../admission/rate-limit.ts";
import { andThen, type MaybePromise } from "../base/maybe-promise.ts";
import type { Tally } from "../telemetry/tally.ts";
import { problem } from "./problem.ts";

export interface GuardOptions {
  /** Undefined, like a rate of 0: no limit. */
  readonly limiter: RateLimiter | undefined;
  readonly allowsOrigin: OriginRule;
  readonly tally: Pick<Tally, "refusals">;
}

/**
 * Passes a request on to `handle` (the HTTP routes or the upgrade) only while its client and that
 * client's site are within their rate, and only from allowed origins. Pages of those may read every
 * answer: CORS (Fetch standard, section 3.3) without credentials. A request with a refused origin
 * counts towards the rate too.
 */
export function guard<Server, Answer extends Response | undefined>(
  { limiter, allowsOrigin, tally }: GuardOptions,
  handle: (request: Request, client: Client, server: Server) => MaybePromise<Answer>,
): (request: Request, client: Client, server: Server) => MaybePromise<Answer | Response> {
  if (limiter === undefined || limiter.perWindow === 0) return fromAllowedOrigin;
  return (request, client, server) => {
    const passage = limiter.take(client.accounts);
    return andThen(fromAllowedOrigin(request, client, server, passage), (answer) => {
      if (answer !== undefined) setRateLimitHeaders(answer.headers, passage);
      return answer;
    });
  };

  function fromAllowedOrigin(
    request: Request,
    client: Client,
    server: Server,
    passage?: Passage,
  ): MaybePromise<Answer | Response> {
    const { headers } = request;
    const origin = headers.get("origin");
    if (origin !== null && !allowsOrigin(origin, headers.get("host"))) {
      return refuse("origin");
    }
    const answer =
      passage?.ok === false ? refuse("rate_limited", passage) : handle(request, client, server);
    return origin === null ? answer : andThen(answer, (it) => share(it, origin));
  }

  function refuse(why: "origin" | "rate_limited", passage?: Passage): Response {
    tally.refusals[why]++;
    return problem(why === "origin" ? "origin_refused" : why, passage);
  }
}

/** Lets pages of `origin` read the answer. */
function share<Answer extends Response | undefined>(answer: Answer, origin: string): Answer {
  answer?.headers.set("Access-Control-Allow-Origin", origin);
  answer?.headers.set(
    "Access-Control-Expose-Headers",
    "Date, RateLimit, RateLimit-Policy, Retry-After",
  );
  return answer;
}
