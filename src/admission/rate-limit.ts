import { type Account, limitOf } from "../base/account.ts";

export interface Passage {
  readonly ok: boolean;
  /** How often the client may still pass in this window; undefined without a limit. */
  readonly remaining: number | undefined;
  /** ms until the next window, > 0; 0 without a limit. */
  readonly retryAfterMs: number;
  /** The limit that `remaining` refers to; 0 without a limit. */
  readonly limit: number;
}

export interface RateLimiter {
  /** Counts one attempt under each of a client's accounts, unless it is refused for one of them. */
  take(accounts: readonly Account[]): Passage;
  /** Undoes a `take` of this window whose passage was not used. */
  giveBack(accounts: readonly Account[]): void;
  /** Passages of one client in a window; 0: no limit. */
  readonly perWindow: number;
  /** Number of accounts with a count in the current window. */
  size(): number;
  /** Attempts that passed uncounted so far, because `maxKeys` accounts had counts. */
  uncounted(): number;
}

const minuteMs = 60_000;
const unlimited: Passage = { ok: true, remaining: undefined, retryAfterMs: 0, limit: 0 };

/**
 * Allows `perWindow` passages per client, and 16 times as many per site. The first attempt after a window
 * starts the next window and forgets all counts. So memory is bounded by `maxKeys`, without a timer. Beyond
 * `maxKeys`, an account without a count passes, so that a flood of addresses does not lock newcomers out.
 */
export function fixedWindow({
  perWindow,
  windowMs = minuteMs,
  monotonicMs,
  maxKeys,
}: {
  /** Passages of one client in a window, 16 times that of a site; 0: no limit. */
  readonly perWindow: number;
  /** A minute unless given. */
  readonly windowMs?: number;
  /** Monotonic, ms. */
  readonly monotonicMs: () => number;
  /** Most accounts that are counted in one window. Further ones pass. */
  readonly maxKeys: number;
}): RateLimiter {
  let counts = new Map<string, number>();
  let uncounted = 0;
  let startedAt = Number.NEGATIVE_INFINITY;

  return {
    take(accounts) {
      if (perWindow <= 0) return unlimited;
      const at = monotonicMs();
      if (at >= startedAt + windowMs) {
        startedAt = at;
        counts = new Map();
      }
      let limit = 0;
      let remaining = Number.POSITIVE_INFINITY;
      for (const account of accounts) {
        const most = limitOf(account, perWindow);
        const left = most - (counts.get(account.key) ?? 0);
        if (left >= remaining) continue;
        remaining = left;
        limit = most;
      }
      const retryAfterMs = startedAt + windowMs - at;
      if (remaining <= 0) return { ok: false, remaining: 0, retryAfterMs, limit };
      for (const { key } of accounts) {
        const count = counts.get(key);
        if (count === undefined && counts.size >= maxKeys) uncounted++;
        else counts.set(key, (count ?? 0) + 1);
      }
      return { ok: true, remaining: remaining - 1, retryAfterMs, limit };
    },
    giveBack(accounts) {
      for (const { key } of accounts) {
        const count = counts.get(key);
        if (count !== undefined && count > 0) counts.set(key, count - 1);
      }
    },
    perWindow,
    size: () => counts.size,
    uncounted: () => uncounted,
  };
}

/**
 * Adds headers with the number of requests that the client has left in this minute
 * (draft-ietf-httpapi-ratelimit-headers). Adds none without a limit.
 */
export function setRateLimitHeaders(headers: Headers, passage: Passage): void {
  const { remaining, retryAfterMs, limit } = passage;
  if (remaining === undefined) return;
  headers.set("RateLimit-Policy", `"minute";q=${limit};w=${minuteMs / 1000}`);
  headers.set("RateLimit", `"minute";r=${remaining};t=${Math.ceil(retryAfterMs / 1000)}`);
}
