import type { Client } from "../admission/clients.ts";
import { type RateLimiter, tellLimit } from "../admission/rate-limit.ts";
import { andThen, type Later } from "../base/later.ts";
import type { Tally } from "../telemetry/tally.ts";
import { problem } from "./problem.ts";
import type { Handler } from "./routes.ts";

export interface LimitOptions {
  readonly limiter: RateLimiter;
  readonly clientOf: (request: Request) => Client;
  readonly tally: Pick<Tally, "refusals">;
}

/**
 * Lets `handle` see a request only while its client asks seldom enough. Everybody behind a proxy
 * that is not known counts as one, and is not limited for it.
 */
export function limited(
  { limiter, clientOf, tally }: LimitOptions,
  handle: (request: Request, client: Client) => Later<Response>,
): Handler {
  return (request) => {
    const client = clientOf(request);
    if (limiter.perMin === 0 || client.shared) return handle(request, client);
    const passage = limiter.take(client.key);
    if (!passage.ok) tally.refusals.rate_limited++;
    const answer = passage.ok ? handle(request, client) : problem("rate_limited", passage);
    return andThen(answer, (response) => {
      tellLimit(response.headers, limiter, passage);
      return response;
    });
  };
}
