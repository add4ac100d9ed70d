export interface FixedWindowOptions {
  /** How often one key may pass in a window of a minute; 0: always. */
  readonly perMin: number;
  /** A window of this many ms in place of the minute; `perMin` is how often in that one, then. */
  readonly windowMs?: number;
  /** ms; the limiter knows no other time. */
  readonly now: () => number;
  /** Keys counted apart in one window. Those that come later in it share one count. */
  readonly maxKeys: number;
}

export interface Passage {
  readonly ok: boolean;
  /** How often the key may still pass in this window; undefined where there is no limit. */
  readonly remaining: number | undefined;
  /** ms until the next window, > 0; 0 where there is no limit. */
  readonly retryAfterMs: number;
}

export interface RateLimiter {
  /** Counts one attempt of `key`, unless it is refused. */
  take(key: string): Passage;
  /** Passages a key and minute; 0: no limit. */
  readonly perMin: number;
  /** That limit as `RateLimit-Policy` tells it. */
  readonly policy: string;
  /** Keys counted apart in the current window. */
  size(): number;
}

const minuteMs = 60_000;
const unlimited: Passage = { ok: true, remaining: undefined, retryAfterMs: 0 };

/**
 * Up to `perMin` passages a key and minute. The first attempt after a window begins the next one
 * for all keys and forgets what was counted: memory is bounded by `maxKeys` and needs no sweeper.
 */
export function fixedWindow(options: FixedWindowOptions): RateLimiter {
  const { perMin, windowMs = minuteMs, now, maxKeys } = options;
  let counts = new Map<string, number>();
  let sharedCount = 0;
  let startedAt = Number.NEGATIVE_INFINITY;

  function turnWindow(at: number): void {
    // A clock that was set back must not keep a window open.
    if (at >= startedAt && at < startedAt + windowMs) return;
    startedAt = at;
    counts = new Map();
    sharedCount = 0;
  }

  return {
    take(key) {
      if (perMin <= 0) return unlimited;
      const at = now();
      turnWindow(at);
      const own = counts.get(key);
      const shared = own === undefined && counts.size >= maxKeys;
      const count = shared ? sharedCount : (own ?? 0);
      const retryAfterMs = startedAt + windowMs - at;
      if (count >= perMin) return { ok: false, remaining: 0, retryAfterMs };
      if (shared) sharedCount++;
      else counts.set(key, count + 1);
      return { ok: true, remaining: perMin - count - 1, retryAfterMs };
    },
    perMin,
    policy: `"minute";q=${perMin};w=${minuteMs / 1000}`,
    size: () => counts.size,
  };
}

/**
 * Tells a client in its answer how much it may still ask (draft-ietf-httpapi-ratelimit-headers).
 * Nothing where there is no limit.
 */
export function tellLimit(headers: Headers, { policy }: RateLimiter, passage: Passage): void {
  const { remaining, retryAfterMs } = passage;
  if (remaining === undefined) return;
  headers.set("RateLimit-Policy", policy);
  headers.set("RateLimit", `"minute";r=${remaining};t=${Math.ceil(retryAfterMs / 1000)}`);
}
