import type { Cancel, Clock } from "../base/clock.ts";
import type { Connection } from "./context.ts";

/** How long an idle occupant has to show life, in ms. */
const answerMs = 1_000;
/** The longest wait, in ms: after 5 s a newcomer has its seat, or is refused. */
const mostPatienceMs = 4_900;
/**
 * The slowest link that is allowed for, in bytes a ms (0.5 Mbit/s): what was sent to the occupant, and
 * may not have been read, stands before the ping.
 */
const slowestLink = 64;
/**
 * An occupant that is sending its first large frame cannot answer, and the runtime shows nothing of the
 * frame. For this long after it was last heard, in ms, it is assumed to be sending one.
 */
const firstFrameMs = 3_000;

/** What is known of an occupant when it is asked. Times in ms. */
export interface Occupant {
  readonly roundTripMs: number;
  readonly silentMs: number;
  readonly unreadBytes: number;
  /** It has sent large frames, or its kind of client does: one may be under way at any time. */
  readonly sendsLargeFrames: boolean;
}

/** How long the occupant has to show life, in ms: 1 s for one that is idle, at most 4.9 s. */
export function probePatience(occupant: Occupant): number {
  const { roundTripMs, silentMs, unreadBytes, sendsLargeFrames } = occupant;
  const pong = answerMs + 2 * roundTripMs + unreadBytes / slowestLink;
  const frame = sendsLargeFrames ? mostPatienceMs : firstFrameMs - silentMs;
  return Math.min(mostPatienceMs, Math.max(pong, frame));
}

/** After the deadline the event loop runs once more: what has already arrived is read first. */
export const probeLastTurnMs = 10;

/**
 * Finds out whether a connection is alive when a newcomer wants its seat.
 *
 *     idle  --ask-->                         asked    ping with a nonce; read for a turn if paused
 *     asked --ask-->                         asked    the same answer serves both
 *     asked --frame, pong of nonce-->        idle     alive
 *     asked --takes what was queued for it-> idle     alive
 *     asked --deadline-->                    idle     dead
 *     asked --closed-->                      idle     dead
 */
export class Prober {
  private nonce = "";
  private answer: Promise<boolean> | undefined;
  private resolve: ((alive: boolean) => void) | undefined;
  private cancel: Cancel | undefined;

  constructor(
    private readonly connection: Connection,
    private readonly clock: Clock,
  ) {}

  /** Whether it is alive. `sendsLargeFrames` as of the occupant. */
  ask(sendsLargeFrames: boolean): Promise<boolean> {
    if (this.answer) return this.answer;
    this.answer = new Promise((resolve) => {
      this.resolve = resolve;
    });
    const { connection, clock } = this;
    const { roundTripMs, heardAt } = connection;
    const ms = probePatience({
      roundTripMs,
      silentMs: clock.monotonicMs() - heardAt,
      unreadBytes: connection.unreadBytes(),
      sendsLargeFrames,
    });
    this.nonce = `probe-${crypto.randomUUID()}`;
    connection.readForATurn();
    connection.ping(this.nonce);
    this.cancel = clock.after(ms, () => {
      this.cancel = clock.after(probeLastTurnMs, () => this.end(false));
    });
    return this.answer;
  }

  /** A complete frame came, or bytes that were queued for it were taken: it is alive. */
  showsLife(): void {
    if (this.answer) this.end(true);
  }

  pong(data: string): void {
    if (this.answer && data === this.nonce) this.end(true);
  }

  closed(): void {
    if (this.answer) this.end(false);
  }

  private end(alive: boolean): void {
    const { resolve } = this;
    this.cancel?.();
    this.cancel = undefined;
    this.resolve = undefined;
    this.answer = undefined;
    resolve?.(alive);
  }
}
