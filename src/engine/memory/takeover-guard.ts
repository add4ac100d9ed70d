import { takeoverGuardMaxMs, takeoverGuardMs } from "../engine.ts";

/**
 * Lets a client take its own seat over by sid, but keeps two live holders of one sid from evicting
 * each other for ever.
 *
 *     open    --takeover-->            guarded for `span`
 *     guarded --takeover refused-->    guarded, contested
 *     guarded --span over-->           open
 *
 * `span` starts at 10 s, doubles (to 10 min) with each takeover after a contested guard, and is
 * back at 10 s after a guard that nobody contested.
 */
export class TakeoverGuard {
  private spanMs = 0;
  private takenAt = 0;
  private contested = false;

  /** Whether the seat may change hands now; if so it counts as done. */
  allows(now: number): boolean {
    if (this.spanMs > 0 && now < this.takenAt + this.spanMs) {
      this.contested = true;
      return false;
    }
    const doubled = Math.min(this.spanMs * 2, takeoverGuardMaxMs);
    this.spanMs = this.contested ? doubled : takeoverGuardMs;
    this.takenAt = now;
    this.contested = false;
    return true;
  }
}
