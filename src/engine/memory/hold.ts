import type { Account } from "../../base/account.ts";
import type { RelayType } from "../engine.ts";
import { type Budget, costOf } from "./budget.ts";

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
  readonly accounts: readonly Account[];
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

  /** Nothing is kept when a bound is reached. */
  keep(
    frame: string,
    type: RelayType,
    from: number,
    accounts: readonly Account[],
  ): "held" | "hold_full" | "hold_share" {
    const bytes = Buffer.byteLength(frame);
    if (this.frames.length >= this.limits.holdMaxFrames) return "hold_full";
    if (this.bytes + bytes > this.limits.holdMaxBytes) return "hold_full";
    const cost = costOf(frame, bytes);
    const against = this.budget.against(cost, accounts);
    if (against !== undefined) return against === "full" ? "hold_full" : "hold_share";
    this.budget.take("held", cost, accounts);
    this.bytes += bytes;
    this.frames.push({ frame, type, from, bytes, accounts });
    return "held";
  }

  /** Everything held, in order; the hold is empty afterwards. */
  takeAll(): readonly Held[] {
    const taken = this.frames;
    this.clear();
    return taken;
  }

  /** Drops what other connections than `from` had held. Answers how many frames that was. */
  dropEarlier(from: number): number {
    const before = this.frames;
    this.frames = before.filter((held) => held.from === from);
    for (const held of before) if (held.from !== from) this.giveBack(held);
    return before.length - this.frames.length;
  }

  /** Drops everything. Answers how many frames that was. */
  clear(): number {
    const dropped = this.frames.length;
    for (const held of this.frames) this.giveBack(held);
    this.frames = [];
    return dropped;
  }

  private giveBack({ frame, bytes, accounts }: Held): void {
    this.bytes -= bytes;
    this.budget.take("held", -costOf(frame, bytes), accounts);
  }
}

/** Whether a side that left at `leftAt` (undefined: is here, or was never seen) is past its hold. */
export function holdIsOver(leftAt: number | undefined, relayHoldMs: number, now: number): boolean {
  return leftAt !== undefined && now >= leftAt + relayHoldMs;
}
