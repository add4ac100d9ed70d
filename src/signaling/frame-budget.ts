import type { Clock } from "../base/clock.ts";

/** A bucket holds this many seconds' worth of frames. */
const burstSeconds = 2;
/**
 * A burst is no single blow: it passes at this many times the rate. A turn of the event loop in
 * which 20 connections spent theirs took 0.7 s.
 */
const peakFactor = 10;
/** What may pass in one blow all the same: a tenth of a second's worth, this many tokens at least. */
const leastBlow = 200;
/** A frame costs one token for itself and one for each … */
const charactersPerToken = 512;
/**
 * … unless it is longer than this: then it pays by the time it takes (large-frames.ts). Signal clients
 * send none, and sending one takes a while.
 */
export const largeFrameLength = 16_384;
/** What a sum of fractions can miss of a whole token, and more. It is owed, not given. */
const almostOne = 0.999;

/** Tokens that a frame of so many characters costs. */
function costOf(length: number): number {
  return length > largeFrameLength ? 1 : 1 + Math.floor(length / charactersPerToken);
}

/**
 * How many frames one connection may still send: a token bucket, full at the start, and a small one
 * that is filled faster. Long frames cost more, as reading JSON takes tens of ns a character where
 * it is nested deeply.
 */
export class FrameBudget {
  private tokens: number;
  /** What is left of a blow. */
  private blow: number;
  private filledAt: number;

  /** `perSec`: tokens that come back each second; 0: there is no limit. */
  constructor(
    private readonly perSec: number,
    private readonly clock: Pick<Clock, "monotonicMs">,
  ) {
    this.tokens = perSec * burstSeconds;
    this.blow = this.wholeBlow;
    this.filledAt = perSec === 0 ? 0 : clock.monotonicMs();
  }

  private get wholeBlow(): number {
    return Math.max(leastBlow, this.perSec / 10);
  }

  /** Takes the tokens of a frame of `length` characters. False when there is not even one. */
  take(length: number): boolean {
    if (this.perSec === 0) return true;
    this.refill();
    if (this.tokens < almostOne || this.blow < almostOne) return false;
    const cost = length < charactersPerToken ? 1 : costOf(length);
    this.tokens -= cost;
    this.blow -= cost;
    return true;
  }

  /** Takes more for a frame that took much more than reading it. What is not there is owed. */
  charge(tokens: number): void {
    if (this.perSec === 0) return;
    this.tokens -= tokens;
    this.blow -= tokens;
  }

  /** ms until a twentieth of a second's tokens, one at least, are there, and half a blow if it is spent. */
  waitMs(): number {
    this.refill();
    const wanted = Math.max(1, this.perSec / 20) - this.tokens;
    const wantedBlow = this.blow < almostOne ? this.wholeBlow / 2 - this.blow : 0;
    return Math.ceil((Math.max(wanted, wantedBlow / peakFactor) * 1000) / this.perSec);
  }

  private refill(): void {
    const at = this.clock.monotonicMs();
    const earned = ((at - this.filledAt) * this.perSec) / 1000;
    this.tokens = Math.min(this.perSec * burstSeconds, this.tokens + earned);
    this.blow = Math.min(this.wholeBlow, this.blow + earned * peakFactor);
    this.filledAt = at;
  }
}
