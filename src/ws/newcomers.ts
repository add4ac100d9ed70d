import type { Clock } from "../base/clock.ts";
import type { PeerSocket } from "./peer-socket.ts";

/**
 * How long a newcomer that says nothing waits until it is told anything, in ms. What shares a segment
 * with the `101` is lost to clients that set their listener only once their socket is open: npm `ws`
 * hands it to nobody.
 */
export const newcomerWaitMs = 50;
/** The timer runs no more often than this: a newcomer may wait that much longer, in ms. */
const timerStepMs = 5;

/**
 * Lets each newcomer join `newcomerWaitMs` after its upgrade, unless its first frame came before. All
 * wait equally long, so that they leave in the order in which they came, and one timer serves all.
 */
export class Newcomers {
  private waiting: PeerSocket[] = [];

  constructor(private readonly clock: Clock) {}

  /** The link's `openedAt` is now. */
  add(link: PeerSocket): void {
    if (this.waiting.push(link) === 1) this.wakeIn(newcomerWaitMs);
  }

  private wakeIn(ms: number): void {
    this.clock.after(Math.max(timerStepMs, ms), () => this.letIn());
  }

  private letIn(): void {
    const openedBefore = this.clock.monotonicMs() - newcomerWaitMs;
    const left = this.waiting.findIndex(({ openedAt }) => openedAt > openedBefore);
    const due = this.waiting.splice(0, left === -1 ? this.waiting.length : left);
    const first = this.waiting[0];
    if (first !== undefined) this.wakeIn(first.openedAt - openedBefore);
    for (const { peer, closeReason } of due) if (closeReason === undefined) peer?.opened();
  }
}
