import type { Clock } from "../base/clock.ts";
import { andThen } from "../base/maybe-promise.ts";
import type { Busy, Claimable, Newcomer, NoSpace, Taken } from "../engine/engine.ts";
import type { ServerClose } from "../protocol/closes.ts";
import type { Connection, SignalingContext } from "./context.ts";
import { Parking } from "./parking.ts";

/** What becomes of an arrival: in the end one of `seated` and `refuse`, or neither after `stop`. */
interface ArrivalOutcome {
  /** The seat is another one's: frames may have to wait for long. */
  parked(): void;
  seated(taken: Taken): void;
  refuse(reason: ServerClose): void;
}

/**
 * A connection until it has a seat.
 *
 *     new --first frame, ping, 50 ms--> joining --taken--> seated
 *     joining --busy--> parked --seat free--> seated
 *     any --no space, store unreachable, patience over--> refused
 *
 * While it is new, neither it nor the other side is told anything.
 */
export class Arrival {
  private joinedAt: number | undefined;
  private hasSpoken = false;
  private isOver = false;
  private parking: Parking | undefined;

  constructor(
    private readonly newcomer: Newcomer,
    private readonly connection: Pick<Connection, "closeReason">,
    private readonly context: SignalingContext,
    private readonly outcome: ArrivalOutcome,
  ) {}

  get isParked(): boolean {
    return this.parking !== undefined;
  }

  /** The client can hear what it is told: asks for the seat. Later calls do nothing. */
  join(): void {
    if (this.joinedAt !== undefined || this.connection.closeReason !== undefined) return;
    this.joinedAt = this.context.clock.monotonicMs();
    this.take("free");
  }

  /** A complete frame has come. */
  spoke(): void {
    this.hasSpoken = true;
    if (this.joinedAt === undefined) this.join();
    else this.parking?.frame();
  }

  /** The connection is gone. A seat that it is given after that is given up at once. */
  stop(): void {
    this.isOver = true;
    this.leaveParking();
  }

  private take(how: Claimable): void {
    void andThen(
      this.context.engine.seats.take(this.newcomer, how),
      (result) => this.answered(result),
      () => this.refuse("unreachable"),
    );
  }

  private answered(result: Taken | Busy | NoSpace): void {
    switch (result.outcome) {
      case "taken":
        return this.taken(result);
      case "busy":
        return this.busy(result.token);
      case "full":
        return this.refuse("rooms_full");
      case "share_full":
        return this.refuse("rooms_share");
      default:
        return result satisfies never;
    }
  }

  private taken(taken: Taken): void {
    const { clock, engine, tally } = this.context;
    if (this.isOver) {
      void engine.seats.leave(taken.seat);
      return;
    }
    this.stop();
    if (taken.firstPair) tally.pairs++;
    tally.joinSeconds.observe((clock.monotonicMs() - (this.joinedAt ?? 0)) / 1000);
    this.outcome.seated(taken);
  }

  private busy(occupant: number): void {
    if (this.isOver) return;
    if (this.parking) return this.parking.busy(occupant);
    const parking = new Parking(this.newcomer, occupant, this.context, {
      claim: (how) => this.take(how),
      refused: (displaced) => this.refuse(displaced ? "displaced" : "busy"),
      unreachable: () => this.refuse("unreachable"),
    });
    this.parking = parking;
    this.context.tally.parkedSockets++;
    this.outcome.parked();
    parking.start();
    // A frame may have come before an engine elsewhere has said that the seat is taken.
    if (this.hasSpoken) parking.frame();
  }

  private refuse(reason: ServerClose): void {
    if (this.isOver) return;
    this.stop();
    this.outcome.refuse(reason);
  }

  private leaveParking(): void {
    if (this.parking === undefined) return;
    this.parking.stop();
    this.parking = undefined;
    this.context.tally.parkedSockets--;
  }
}

/**
 * How long a newcomer that says nothing waits until it is told anything, in ms. What shares a segment
 * with the `101` is lost to clients that set their listener only once their socket is open: npm `ws`
 * hands it to nobody.
 */
export const newcomerWaitMs = 50;
/** The timer runs no more often than this: a newcomer may wait that much longer, in ms. */
const timerStepMs = 5;

interface Waiting {
  readonly since: number;
  readonly who: { join(): void };
}

/**
 * Lets each newcomer join `newcomerWaitMs` after its upgrade, unless its first frame came before. All
 * wait equally long, so that they leave in the order in which they came, and one timer serves all.
 */
export class Newcomers {
  private waiting: Waiting[] = [];

  constructor(private readonly clock: Pick<Clock, "monotonicMs" | "after">) {}

  add(who: { join(): void }): void {
    const count = this.waiting.push({ since: this.clock.monotonicMs(), who });
    if (count === 1) this.wakeIn(newcomerWaitMs);
  }

  private wakeIn(ms: number): void {
    this.clock.after(Math.max(timerStepMs, ms), () => this.letIn());
  }

  private letIn(): void {
    const before = this.clock.monotonicMs() - newcomerWaitMs;
    const { waiting } = this;
    let left = 0;
    while (left < waiting.length && (waiting[left] as Waiting).since <= before) left++;
    this.waiting = waiting.slice(left);
    const first = this.waiting[0];
    if (first !== undefined) this.wakeIn(first.since - before);
    for (let i = 0; i < left; i++) (waiting[i] as Waiting).who.join();
  }
}
