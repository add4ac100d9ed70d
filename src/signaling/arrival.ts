import type { Cancel } from "../base/clock.ts";
import { andThen, type MaybePromise } from "../base/maybe-promise.ts";
import type { Busy, Claimable, Newcomer, NoSpace, Parked, Taken } from "../engine/engine.ts";
import type { ServerClose } from "../protocol/closes.ts";
import type { SignalingContext } from "./context.ts";

/** Callbacks of an arrival. It ends with either `seated` or `refuse`, or with neither after `stop`. */
interface ArrivalOutcome {
  /** Another connection has the seat. The newcomer waits, perhaps for long. */
  parked(): void;
  seated(taken: Taken): void;
  refuse(reason: ServerClose): void;
}

/** Why a newcomer gets no seat and need not wait for one. */
export type NoSeat = "rooms_full" | "rooms_share" | "unreachable";

/** How long a newcomer waits while the occupant is alive: the first newcomer, the second, each later one. */
const patienceMs = [5_000, 10_000, 15_000] as const;
/** A displaced newcomer is refused only after this wait. Otherwise two could displace each other in a loop. */
const displacedAfterMs = 3_000;

/**
 * A connection without a seat yet. It asks for its seat at once. If another connection has the seat, the
 * newcomer waits, and asks again whenever it has a new reason to get the seat.
 */
export class Arrival {
  private readonly since: number;
  private isOver = false;
  private isAsking = false;
  /** The token of the connection in the seat; undefined until it is known. */
  private occupant: number | undefined;
  private place: Parked | undefined;
  private isParking = false;
  private cancel: Cancel | undefined;
  /** A later newcomer waits instead of this one. */
  private isDisplaced = false;
  // Reasons to ask again. Each is used once.
  /** It has a sid and has sent a complete frame, which a dead connection never does. False: already used. */
  private hasSpoken: boolean | undefined;
  private isVacant = false;
  /** The token of an occupant that did not answer the probe. */
  private dead: number | undefined;

  constructor(
    private readonly newcomer: Newcomer,
    private readonly context: Pick<SignalingContext, "engine" | "clock" | "tally">,
    private readonly outcome: ArrivalOutcome,
  ) {
    this.since = context.clock.monotonicMs();
  }

  get isParked(): boolean {
    return this.occupant !== undefined;
  }

  /** Asks for the seat. Returns undefined when it is seated or parked. */
  take(): MaybePromise<NoSeat | undefined> {
    return this.ask("free");
  }

  /** A complete frame has come. */
  spoke(): void {
    if (this.hasSpoken !== undefined || this.newcomer.sid === "") return;
    this.hasSpoken = true;
    this.tryAgain();
  }

  /** The connection is closed. If it still gets the seat, it gives it up at once. */
  stop(): void {
    if (this.isParked && !this.isOver) this.context.tally.parkedSockets--;
    this.isOver = true;
    this.cancel?.();
    this.place?.unpark();
  }

  /** Asks again if it has an unused reason. */
  private tryAgain(): void {
    if (!this.isParked || this.isOver || this.isAsking || this.isDisplaced) return;
    const how = this.best();
    if (how === undefined) return;
    void andThen(this.ask(how), (noSeat) => {
      if (noSeat !== undefined) this.refuse(noSeat);
    });
  }

  /** The best unused reason. With any of them, `take` also takes a free seat. */
  private best(): Claimable | undefined {
    const { dead, isVacant } = this;
    this.isVacant = false;
    this.dead = undefined;
    if (dead !== undefined && dead === this.occupant) return { dead };
    if (!this.hasSpoken) return isVacant ? "free" : undefined;
    this.hasSpoken = false;
    return "same_sid";
  }

  private ask(how: Claimable): MaybePromise<NoSeat | undefined> {
    this.isAsking = true;
    return andThen(
      this.context.engine.seats.take(this.newcomer, how),
      (result) => this.answered(result),
      () => "unreachable",
    );
  }

  private answered(result: Taken | Busy | NoSpace): NoSeat | undefined {
    this.isAsking = false;
    switch (result.outcome) {
      case "taken":
        return void this.taken(result);
      case "busy":
        return void this.busy(result.token);
      case "full":
        return "rooms_full";
      case "share_full":
        return "rooms_share";
      default:
        return result satisfies never;
    }
  }

  private taken(taken: Taken): void {
    const { clock, engine, tally } = this.context;
    if (this.isOver) return void engine.seats.leave(taken.seat);
    this.stop();
    if (taken.firstPair) tally.pairs++;
    tally.joinSeconds.observe((clock.monotonicMs() - this.since) / 1000);
    this.outcome.seated(taken);
  }

  private busy(occupant: number): void {
    if (this.isOver) return;
    const known = this.occupant;
    this.occupant = occupant;
    if (known === undefined) {
      this.context.tally.parkedSockets++;
      this.outcome.parked();
    }
    if (this.place === undefined) this.park();
    else if (known !== occupant) this.probe(occupant);
    this.tryAgain();
  }

  private park(): void {
    if (this.isParking) return;
    this.isParking = true;
    const { appId, side } = this.newcomer;
    const waiter = { vacant: () => this.vacant(), displaced: () => this.displaced() };
    void andThen(
      this.context.engine.seats.park(appId, side, waiter),
      (place) => {
        this.isParking = false;
        this.place = place;
        // Free already. If another newcomer takes it first, this one parks again.
        if (place === undefined) this.vacant();
        else if (this.isOver) place.unpark();
        else if (this.occupant !== undefined) this.probe(this.occupant);
      },
      () => this.refuse("unreachable"),
    );
  }

  /** Asks whether the occupant is alive. If it is, this newcomer waits for a limited time. */
  private probe(occupant: number): void {
    const { appId, side } = this.newcomer;
    void andThen(
      this.context.engine.seats.probe(appId, side, occupant),
      (answer) => {
        if (occupant !== this.occupant) return;
        if (answer === "gone") return this.vacant();
        if (answer === "alive") return this.waitBeside();
        this.dead = occupant;
        this.tryAgain();
      },
      () => this.refuse("unreachable"),
    );
  }

  private waitBeside(): void {
    const times = Math.min(this.place?.times ?? 1, patienceMs.length);
    if (!this.isDisplaced) this.refuseIn(patienceMs[times - 1] ?? 0, "busy");
  }

  private vacant(): void {
    this.isVacant = true;
    this.tryAgain();
  }

  private displaced(): void {
    this.isDisplaced = true;
    this.place?.unpark();
    const waitedMs = this.context.clock.monotonicMs() - this.since;
    this.refuseIn(Math.max(0, displacedAfterMs - waitedMs), "displaced");
  }

  private refuseIn(ms: number, why: ServerClose): void {
    if (this.isOver) return;
    this.cancel?.();
    this.cancel = this.context.clock.after(ms, () => this.refuse(why));
  }

  private refuse(reason: ServerClose): void {
    if (this.isOver) return;
    this.stop();
    this.outcome.refuse(reason);
  }
}
