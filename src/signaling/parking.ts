import type { Cancel } from "../base/clock.ts";
import { andThen } from "../base/maybe-promise.ts";
import type { Claimable, Newcomer, Parked } from "../engine/engine.ts";
import type { SignalingContext } from "./context.ts";

/** How long a newcomer waits beside a living occupant: the first, the second, each later one. */
const patienceMs = [5_000, 10_000, 15_000] as const;

export function patienceOf(times: number): number {
  return patienceMs[Math.min(times, patienceMs.length) - 1] ?? patienceMs[0];
}

/** A newcomer sent away by a later one has waited this long at least: no hot loop of two. */
export const displacedAfterMs = 3_000;

/**
 * A newcomer to an occupied seat.
 *
 *     asking   the occupant is being asked for a sign of life
 *     waiting  the occupant lives; the newcomer stays for its patience
 *     leaving  a later newcomer has its place; it is closed when it has waited long enough
 *     refused  the end, unless it is given the seat or goes away before
 */
export type ParkingState = "asking" | "waiting" | "leaving" | "refused";

export type ParkingEvent =
  /** Its first complete frame: a zombie never sends one. */
  | "first_frame"
  /** What the occupant's probe said. */
  | "alive"
  | "dead"
  | "gone"
  /** The occupant left. */
  | "vacant"
  /** The seat is not to be had; `other_occupant`: by one that was not asked yet. */
  | "busy"
  | "other_occupant"
  | "patience_over"
  | "displaced";

export type ParkingAction =
  | { readonly do: "nothing" }
  | { readonly do: "probe" }
  | { readonly do: "claim"; readonly how: "free" | "same_sid" | "dead" }
  | { readonly do: "wait" }
  | { readonly do: "leave" }
  | { readonly do: "refuse" };

interface Step {
  readonly state: ParkingState;
  readonly action: ParkingAction;
}

const nothing: ParkingAction = { do: "nothing" };

/** The whole rule. Pure: the caller carries out the action. */
export function parkingStep(state: ParkingState, event: ParkingEvent): Step {
  if (state === "refused") return { state, action: nothing };
  if (event === "patience_over") return { state: "refused", action: { do: "refuse" } };
  if (state === "leaving") return { state, action: nothing };
  switch (event) {
    case "displaced":
      return { state: "leaving", action: { do: "leave" } };
    case "first_frame":
      return { state, action: { do: "claim", how: "same_sid" } };
    case "dead":
      return { state, action: { do: "claim", how: "dead" } };
    case "gone":
    case "vacant":
      return { state, action: { do: "claim", how: "free" } };
    case "alive":
      if (state === "waiting") return { state, action: nothing };
      return { state: "waiting", action: { do: "wait" } };
    case "other_occupant":
      return { state: "asking", action: { do: "probe" } };
    case "busy":
      return { state, action: nothing };
    default:
      return event satisfies never;
  }
}

/** The engine's words for a claim. */
export function claimable(how: "free" | "same_sid" | "dead", occupant: number): Claimable {
  return how === "dead" ? { dead: occupant } : how;
}

interface ParkingOutcome {
  /** Take the seat if it is to be had so. If not, the answer is `busy`. */
  claim(how: Claimable): void;
  refused(displaced: boolean): void;
  /** The engine cannot be reached. */
  unreachable(): void;
}

/** Carries the rule out for one newcomer. */
export class Parking {
  private state: ParkingState = "asking";
  private place: Parked | undefined;
  private stopped = false;
  private framed = false;
  private claiming = false;
  /** What was to be claimed while another claim was under way. */
  private claimNext: "free" | "same_sid" | "dead" | undefined;
  private displaced = false;
  private readonly startedAt: number;
  private cancel: Cancel | undefined;

  constructor(
    private readonly newcomer: Newcomer,
    private occupant: number,
    private readonly context: Pick<SignalingContext, "engine" | "clock">,
    private readonly outcome: ParkingOutcome,
  ) {
    this.startedAt = context.clock.monotonicMs();
  }

  start(): void {
    const { appId, side } = this.newcomer;
    const parked = this.context.engine.seats.park(appId, side, {
      vacant: () => this.on("vacant"),
      displaced: () => this.on("displaced"),
    });
    void andThen(
      parked,
      (place) => {
        this.place = place;
        if (this.stopped) place.unpark();
        else this.probe();
      },
      this.failed,
    );
  }

  /** The newcomer has sent a frame. */
  frame(): void {
    if (this.framed || this.newcomer.sid === "") return;
    this.framed = true;
    this.on("first_frame");
  }

  /** The seat that was claimed is held by this occupant. */
  busy(occupant: number): void {
    this.claiming = false;
    const other = occupant !== this.occupant;
    this.occupant = occupant;
    this.on(other ? "other_occupant" : "busy");
    const how = this.claimNext;
    this.claimNext = undefined;
    // The one found dead was the former occupant.
    if (how !== undefined) this.claim(other && how === "dead" ? "free" : how);
  }

  /** It was given the seat, or is gone. */
  stop(): void {
    this.stopped = true;
    this.cancel?.();
    this.place?.unpark();
  }

  private on(event: ParkingEvent): void {
    if (this.stopped) return;
    const { state, action } = parkingStep(this.state, event);
    this.state = state;
    switch (action.do) {
      case "probe":
        return this.probe();
      case "claim":
        return this.claim(action.how);
      case "wait":
        return this.refuseIn(patienceOf(this.place?.times ?? 1));
      case "leave":
        this.displaced = true;
        this.place?.unpark();
        return this.refuseIn(this.startedAt + displacedAfterMs - this.context.clock.monotonicMs());
      case "refuse":
        return this.outcome.refused(this.displaced);
      case "nothing":
        return;
      default:
        return action satisfies never;
    }
  }

  private probe(): void {
    const { appId, side } = this.newcomer;
    const asked = this.occupant;
    void andThen(
      this.context.engine.seats.probe(appId, side, asked),
      (answer) => {
        if (asked === this.occupant) this.on(answer);
      },
      this.failed,
    );
  }

  private claim(how: "free" | "same_sid" | "dead"): void {
    if (this.claiming) {
      this.claimNext = how;
      return;
    }
    this.claiming = true;
    this.outcome.claim(claimable(how, this.occupant));
  }

  private readonly failed = (): void => {
    if (!this.stopped) this.outcome.unreachable();
  };

  private refuseIn(ms: number): void {
    this.cancel?.();
    this.cancel = this.context.clock.after(Math.max(0, ms), () => this.on("patience_over"));
  }
}
