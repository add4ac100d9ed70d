import type { Cancel, Clock } from "../base/clock.ts";
import type { Connection } from "./connection.ts";

/** How long an occupant has to show life … */
export const probeMs = 1_000;
/** … and when bytes wait to be sent to it, behind which the ping has to queue. */
export const probeBehindUnsentMs = 3_000;
/** After the deadline, once more around the loop: what has already arrived is read first. */
export const probeLastTurnMs = 10;

/**
 * Finds out whether a connection is alive when a newcomer wants its seat.
 *
 *     idle  --ask-->                     asked    ping with a nonce; read for a turn if paused
 *     asked --ask-->                     asked    the same answer serves both
 *     asked --frame, pong of nonce-->    idle     alive
 *     asked --deadline-->                idle     dead
 *     asked --closed-->                  idle     dead
 */
export class Prober {
  private nonce = "";
  private answer: Promise<boolean> | undefined;
  private settle: ((alive: boolean) => void) | undefined;
  private cancel: Cancel | undefined;

  constructor(
    private readonly connection: Connection,
    private readonly clock: Clock,
  ) {}

  ask(): Promise<boolean> {
    if (this.answer) return this.answer;
    this.answer = new Promise((resolve) => {
      this.settle = resolve;
    });
    this.nonce = `probe-${crypto.randomUUID()}`;
    this.connection.readForATurn();
    this.connection.ping(this.nonce);
    const ms = this.connection.unsentBytes() > 0 ? probeBehindUnsentMs : probeMs;
    this.cancel = this.clock.after(ms, () => {
      this.cancel = this.clock.after(probeLastTurnMs, () => this.end(false));
    });
    return this.answer;
  }

  /** A complete frame came: whatever it says, somebody is there. */
  frame(): void {
    if (this.answer) this.end(true);
  }

  pong(data: string): void {
    if (this.answer && data === this.nonce) this.end(true);
  }

  closed(): void {
    if (this.answer) this.end(false);
  }

  private end(alive: boolean): void {
    const { settle } = this;
    this.cancel?.();
    this.cancel = undefined;
    this.settle = undefined;
    this.answer = undefined;
    settle?.(alive);
  }
}
