import type { Clock } from "../base/clock.ts";
import type { Connection } from "./context.ts";

/** How long an idle occupant has to show a sign of life, in ms. */
const answerMs = 1_000;
/** The longest wait, in ms. After 5 s a newcomer has its seat or is refused. */
const mostPatienceMs = 4_900;
/**
 * The slowest link that is supported, in bytes per ms (0.5 Mbit/s). Bytes that the occupant has not read
 * yet arrive before the ping.
 */
const slowestLink = 64;
/**
 * An occupant cannot answer while it sends a large frame, and the runtime reports the frame only at its
 * end. For this long after its last sign of life, in ms, it is assumed to be sending its first one.
 */
const firstFrameMs = 3_000;

/** How long an occupant has to show a sign of life, in ms: 1 s if it is idle, at most 4.9 s. */
function patienceMs(occupant: Connection, sendsLargeFrames: boolean, now: number): number {
  const pong = answerMs + 2 * occupant.roundTripMs + occupant.unreadBytes() / slowestLink;
  const frame = sendsLargeFrames ? mostPatienceMs : firstFrameMs - (now - occupant.heardAt);
  return Math.min(mostPatienceMs, Math.max(pong, frame));
}

/** After the deadline the event loop gets this long to read what has already arrived, in ms. */
const probeLastTurnMs = 10;

interface Question {
  readonly nonce: string;
  readonly answer: Promise<boolean>;
  readonly end: (alive: boolean) => void;
}

/**
 * Finds out whether a connection is alive when a newcomer wants its seat.
 *
 *     idle  --ask-->                         asked    ping with a nonce; read briefly if paused
 *     asked --ask-->                         asked    both get the same answer
 *     asked --frame, pong of nonce-->        idle     alive
 *     asked --reads queued bytes-->          idle     alive
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
   * Whether the connection is alive. `sendsLargeFrames`: it has sent a large frame, or clients of its kind
   * do. So one may be under way at any time.
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

  /** It is alive: a complete frame came from it, or it read some of its queued bytes. */
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
