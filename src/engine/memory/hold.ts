import type { RelayType } from "../engine.ts";
import type { Budget } from "./budget.ts";

export interface HoldLimits {
  readonly holdMaxFrames: number;
  readonly holdMaxBytes: number;
}

export interface Held {
  readonly frame: string;
  readonly type: RelayType;
  /** The seat token of the connection it came from. */
  readonly from: number;
  readonly bytes: number;
}

/** Relay frames kept for a side that is between two sockets, in order. */
export class Hold {
  private frames: Held[] = [];
  private bytes = 0;

  constructor(
    private readonly limits: HoldLimits,
    private readonly budget: Budget,
  ) {}

  get size(): number {
    return this.frames.length;
  }

  /** False, and nothing is kept, when a bound is reached. */
  keep(frame: string, type: RelayType, from: number): boolean {
    const bytes = Buffer.byteLength(frame);
    const fits =
      this.frames.length < this.limits.holdMaxFrames &&
      this.bytes + bytes <= this.limits.holdMaxBytes &&
      this.budget.take(bytes);
    if (!fits) return false;
    this.bytes += bytes;
    this.frames.push({ frame, type, from, bytes });
    return true;
  }

  /** Everything held, in order; the hold is empty afterwards. */
  takeAll(): readonly Held[] {
    const taken = this.frames;
    this.clear();
    return taken;
  }

  /** Drops what other connections than `from` had held. Answers how many frames that was. */
  dropEarlier(from: number): number {
    const before = this.frames.length;
    this.frames = this.frames.filter((held) => held.from === from);
    const bytes = this.frames.reduce((sum, held) => sum + held.bytes, 0);
    this.budget.give(this.bytes - bytes);
    this.bytes = bytes;
    return before - this.frames.length;
  }

  /** Drops everything. Answers how many frames that was. */
  clear(): number {
    const dropped = this.frames.length;
    this.budget.give(this.bytes);
    this.frames = [];
    this.bytes = 0;
    return dropped;
  }
}

/** Whether a side that left at `leftAt` (undefined: is here, or was never seen) is past its hold. */
export function holdIsOver(leftAt: number | undefined, relayHoldMs: number, now: number): boolean {
  return leftAt !== undefined && now >= leftAt + relayHoldMs;
}
