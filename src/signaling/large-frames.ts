import type { Cancel, Clock } from "../base/clock.ts";

/** Of each ms, so much may go to large frames: a quarter of a core. */
const share = 0.25;
/** What the runtime spends on a character before anybody sees the frame, ms: 1 ms a MiB. */
const receivingMs = 1 / 1_048_576;
/** What is saved up while there are none, ms of work. */
const burstMs = 10;

/**
 * Turns at large frames, over all connections. One of them can take tens of ms to read (1 MiB of
 * nested brackets: 33 ms), so what counts is the time that they took: all together have a quarter
 * of it, and frames of others get in between. Who waits is served by account in turn, so that one
 * client with many connections waits for itself.
 */
export class LargeFrames {
  /** ms that large frames have taken so far. */
  workedMs = 0;
  private spareMs = burstMs;
  private filledAt: number;
  /** By account, whoever waits longest first. */
  private readonly waiting = new Map<string, Set<() => void>>();
  /** The one that is being called back may handle a frame. */
  private granted = false;
  private timer: Cancel | undefined;

  constructor(private readonly clock: Pick<Clock, "monotonicMs" | "after">) {
    this.filledAt = clock.monotonicMs();
  }

  /** Whether a large frame may be handled now. Who hears no waits. */
  begin(): boolean {
    const may = this.granted || (this.waiting.size === 0 && this.spare() > 0);
    this.granted = false;
    return may;
  }

  /** A large frame of `length` characters has taken so long to handle. */
  took(handlingMs: number, length: number): void {
    const ms = handlingMs + length * receivingMs;
    this.workedMs += ms;
    this.spareMs = this.spare() - ms;
  }

  /** Calls `run` once when it is this account's turn: in it, one `begin` is granted. */
  wait(account: string, run: () => void): Cancel {
    const line = this.waiting.get(account) ?? new Set();
    this.waiting.set(account, line.add(run));
    this.schedule();
    return () => this.leave(account, run);
  }

  /** Accounts that wait. */
  get size(): number {
    return this.waiting.size;
  }

  private leave(account: string, run: () => void): void {
    const line = this.waiting.get(account);
    if (line?.delete(run) && line.size === 0) this.waiting.delete(account);
  }

  private spare(): number {
    const at = this.clock.monotonicMs();
    this.spareMs = Math.min(burstMs, this.spareMs + (at - this.filledAt) * share);
    this.filledAt = at;
    return this.spareMs;
  }

  private schedule(): void {
    if (this.timer !== undefined || this.waiting.size === 0) return;
    const ms = Math.max(1, Math.ceil(-this.spare() / share));
    this.timer = this.clock.after(ms, () => {
      this.timer = undefined;
      try {
        this.serve();
      } finally {
        this.schedule();
      }
    });
  }

  private serve(): void {
    // No more rounds than there are in line now: who comes back to it waits for the next timer.
    for (let left = this.waiting.size; left > 0 && this.spare() > 0; left--) {
      const [account, line] = this.waiting.entries().next().value ?? [];
      const [run] = line ?? [];
      if (account === undefined || line === undefined || run === undefined) return;
      line.delete(run);
      this.waiting.delete(account);
      if (line.size > 0) this.waiting.set(account, line);
      this.granted = true;
      try {
        run();
      } finally {
        this.granted = false;
      }
    }
  }
}
