import type { Cancel, Clock } from "../base/clock.ts";
import type { MaybePromise } from "../base/maybe-promise.ts";

/**
 * How long held frames wait for the first relay frame of the returning side. If that frame is an offer,
 * the peer was restarted and does not know the negotiation that the held frames belong to.
 */
const returnSettleMs = 500;

/**
 * Delivers or discards the frames that were held for a side, once it is back. They are never delivered
 * before the `room_full` of its return.
 *
 *     alone     --the other side is there-->   settling
 *     alone     --own offer-->                 over, discarded
 *     alone     --other own relay frame-->     known
 *     known     --the other side is there-->   over, delivered
 *     settling  --own offer-->                 over, discarded
 *     settling  --other own frame, time-->     over, delivered
 */
export class Returning {
  private state: "alone" | "known" | "settling" | "over" = "alone";
  private cancel: Cancel | undefined;

  /** `start` starts the relay to this side, and delivers or discards the held frames. */
  constructor(
    private readonly clock: Pick<Clock, "after">,
    private readonly start: (discard: boolean) => MaybePromise<void>,
  ) {}

  peerThere(): void {
    if (this.state === "known") void this.end(false);
    if (this.state !== "alone") return;
    this.state = "settling";
    this.cancel = this.clock.after(returnSettleMs, () => void this.end(false));
  }

  /** Called before a relay frame of this side is sent. */
  relays(offer: boolean): MaybePromise<void> {
    if (offer && this.state !== "over") return this.end(true);
    if (this.state === "alone") this.state = "known";
    if (this.state === "settling") return this.end(false);
  }

  stop(): void {
    this.cancel?.();
    this.state = "over";
  }

  private end(discard: boolean): MaybePromise<void> {
    this.stop();
    return this.start(discard);
  }
}
