import type { Clock } from "../base/clock.ts";
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

/** How long an occupant has to show life, in ms: 1 s for one that is idle, at most 4.9 s. */
function patienceMs(occupant: Connection, sendsLargeFrames: boolean, now: number): number {
  const pong = answerMs + 2 * occupant.roundTripMs + occupant.unreadBytes() / slowestLink;
  const frame = sendsLargeFrames ? mostPatienceMs : firstFrameMs - (now - occupant.heardAt);
  return Math.min(mostPatienceMs, Math.max(pong, frame));
}

/** After the deadline the event loop runs once more: what has already arrived is read first. */
const probeLastTurnMs = 10;

interface Question {
  readonly nonce: string;
  readonly answer: Promise<boolean>;
  readonly end: (alive: boolean) => void;
}

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
  /** Undefined while it is idle. */
  private asked: Question | undefined;

  constructor(
    private readonly connection: Connection,
    private readonly clock: Clock,
  ) {}

  /**
   * Whether it is alive. `sendsLargeFrames`: it has sent some, or its kind of client does: one may be under
   * way at any time.
   */
  ask(sendsLargeFrames: boolean): Promise<boolean> {
    if (this.asked) return this.asked.answer;
    const { connection, clock } = this;
    const ms = patienceMs(connection, sendsLargeFrames, clock.monotonicMs());
    const nonce = `probe-${crypto.randomUUID()}`;
    const { promise: answer, resolve } = Promise.withResolvers<boolean>();
    let cancel = clock.after(ms, () => {
      cancel = clock.after(probeLastTurnMs, () => end(false));
    });
    const end = (alive: boolean) => {
      cancel();
      this.asked = undefined;
      resolve(alive);
    };
    this.asked = { nonce, answer, end };
    connection.readForATurn();
    connection.ping(nonce);
    return answer;
  }

  /** A complete frame came, or bytes that were queued for it were taken: it is alive. */
  showsLife(): void {
    this.asked?.end(true);
  }

  pong(data: string): void {
    if (data === this.asked?.nonce) this.asked.end(true);
  }

  closed(): void {
    this.asked?.end(false);
  }
}
