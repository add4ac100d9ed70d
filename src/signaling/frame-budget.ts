import type { Clock } from "../base/clock.ts";

/** A bucket holds this many seconds' worth of frames. */
const burstSeconds = 2;

/** How many frames one connection may still send: a token bucket, full at the start. */
export class FrameBudget {
  private tokens: number;
  private filledAt: number;

  /** `perSec`: tokens that come back each second; 0: there is no limit. */
  constructor(
    private readonly perSec: number,
    private readonly clock: Pick<Clock, "ticks">,
  ) {
    this.tokens = perSec * burstSeconds;
    this.filledAt = perSec === 0 ? 0 : clock.ticks();
  }

  /** Takes a token. False when there is none. */
  take(): boolean {
    if (this.perSec === 0) return true;
    this.refill();
    if (this.tokens < 1) return false;
    this.tokens--;
    return true;
  }

  /** ms until a twentieth of a second's tokens, one at least, are there. */
  waitMs(): number {
    this.refill();
    const wanted = Math.max(1, this.perSec / 20);
    return Math.ceil(((wanted - this.tokens) * 1000) / this.perSec);
  }

  private refill(): void {
    const at = this.clock.ticks();
    const earned = ((at - this.filledAt) * this.perSec) / 1000;
    this.tokens = Math.min(this.perSec * burstSeconds, this.tokens + earned);
    this.filledAt = at;
  }
}
