import type { Client } from "../admission/clients.ts";
import { type RateLimiter, tellLimit } from "../admission/rate-limit.ts";
import { andThen } from "../base/maybe-promise.ts";
import type { Tally } from "../telemetry/tally.ts";
import { problem } from "./problem.ts";
import type { Handler } from "./routes.ts";

export interface LimitOptions {
  readonly limiter: RateLimiter;
  readonly clientOf: (request: Request) => Client;
  readonly tally: Pick<Tally, "refusals">;
}

/**
 * Lets `handle` see a request only while its client, and the site it is of, ask seldom enough. A
 * refusal passes `guard`, as pages of allowed origins may read it too.
 */
export function limited(
  { limiter, clientOf, tally }: LimitOptions,
  guard: (handle: Handler) => Handler,
  handle: Handler,
): Handler {
  return (request) => {
    const passage = limiter.take(clientOf(request).accounts);
    if (!passage.ok) tally.refusals.rate_limited++;
    const answer = passage.ok
      ? handle(request)
      : guard(() => problem("rate_limited", passage))(request);
    return andThen(answer, (response) => {
      tellLimit(response.headers, passage);
      return response;
    });
  };
}
