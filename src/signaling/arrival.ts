import { andThen } from "../base/maybe-promise.ts";
import type { Busy, Claimable, Newcomer, NoSpace, Taken } from "../engine/engine.ts";
import type { ServerClose } from "../protocol/closes.ts";
import type { SignalingContext } from "./context.ts";
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
 *     asking --taken--> seated
 *     asking --busy--> parked --seat free--> seated
 *     any --no space, store unreachable, patience over--> refused
 */
export class Arrival {
  private readonly joinedAt: number;
  private hasSpoken = false;
  private isOver = false;
  private parking: Parking | undefined;

  constructor(
    private readonly newcomer: Newcomer,
    private readonly context: SignalingContext,
    private readonly outcome: ArrivalOutcome,
  ) {
    this.joinedAt = context.clock.monotonicMs();
  }

  get isParked(): boolean {
    return this.parking !== undefined;
  }

  join(): void {
    this.take("free");
  }

  /** A complete frame has come. */
  spoke(): void {
    this.hasSpoken = true;
    this.parking?.frame();
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
    tally.joinSeconds.observe((clock.monotonicMs() - this.joinedAt) / 1000);
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
