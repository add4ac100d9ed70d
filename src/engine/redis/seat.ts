import type { Account } from "../../base/account.ts";
import type { AppId, Side } from "../../base/ids.ts";
import type { Newcomer, Seat, SeatListener } from "../engine.ts";
import type { Numbered, SeatMessage } from "./messages.ts";

/** The occupant of the other side, as this node last heard. */
export interface PeerSeat {
  readonly token: number;
  readonly node: string;
}

/** Frames that came ahead of their turn, past which the later ones have to be pulled. */
const maxEarly = 1_024;

/**
 * A seat whose connection is on this node. Kept current by what the node is told and by renewing;
 * when its room has vanished from Redis, it is taken anew and gets another token.
 */
export class LocalSeat implements Seat {
  readonly appId: AppId;
  readonly side: Side;
  readonly sid: string;
  readonly accounts: readonly Account[];
  readonly listener: SeatListener;
  /** False from the moment on at which it was left, replaced or cut off. */
  isHeld = true;
  peer: PeerSeat | undefined;
  /** How often it was told of its peer's coming or going. */
  peerNews = 0;
  /** The number of the next frame to hand on; undefined until its relay has begun. */
  next: number | undefined;
  /** The number of the last frame that it sent to the other side by way of Redis. */
  lastSent = 0;
  /** Frames of its own on their way to Redis. */
  sending = 0;
  /** What its connection said to the last frame: no more for now, or go on. */
  writable = true;
  /** The highest seq read from its mailbox. */
  lastRead = 0;
  /** Ticks of the clock at which its lease ends, … */
  leasedUntil = 0;
  /** … and at which it is to be renewed. */
  renewAt = 0;
  renewing = false;
  /** The last try to renew it came to nothing. */
  renewFailed = false;
  healing: Promise<void> | undefined;
  pulling: Promise<void> | undefined;
  private early: Map<number, Numbered> | undefined;
  /** What came before the taker knew that it has the seat. */
  private untold: SeatMessage[] | undefined = [];

  constructor(
    { appId, side, sid, accounts, listener }: Newcomer,
    public token: number,
  ) {
    this.appId = appId;
    this.side = side;
    this.sid = sid;
    this.accounts = accounts;
    this.listener = listener;
  }

  /** It was taken over, and is about to be told. Its peer may know already. */
  get isReplaced(): boolean {
    return this.untold?.some(({ kind }) => kind === "replaced") ?? false;
  }

  get hasBegun(): boolean {
    return this.next !== undefined;
  }

  /** Hands a message on when its turn has come. */
  tell(message: SeatMessage, handle: (message: SeatMessage) => void): void {
    if (this.untold) this.untold.push(message);
    else handle(message);
  }

  /** The taker knows that it has the seat. */
  opened(handle: (message: SeatMessage) => void): void {
    const { untold } = this;
    this.untold = undefined;
    for (const message of untold ?? []) handle(message);
  }

  /** Relay has begun: frames up to `after` went to others, or to nobody. */
  begin(after: number): readonly Numbered[] {
    this.next ??= after + 1;
    return this.inTurn();
  }

  /** What can be handed on now that this frame has come: each frame once, and in order. */
  come(frame: Numbered): readonly Numbered[] {
    if (this.next === frame.number && this.early === undefined) {
      this.next++;
      return [frame];
    }
    this.keep(frame);
    return this.inTurn();
  }

  /** Frames are missing before some that have come. */
  get hasGap(): boolean {
    return this.hasBegun && this.early !== undefined;
  }

  /**
   * Takes what was pulled, with all that has come meanwhile. What is still missing below a frame
   * that is here will never come; answers how much that was as well.
   */
  catchUp(frames: readonly Numbered[]): {
    readonly due: readonly Numbered[];
    readonly lost: number;
  } {
    for (const frame of frames) this.keep(frame);
    const due: Numbered[] = [...this.inTurn()];
    let lost = 0;
    while (this.early && this.next !== undefined) {
      const first = Math.min(...this.early.keys());
      lost += first - this.next;
      this.next = first;
      due.push(...this.inTurn());
    }
    return { due, lost };
  }

  private keep(frame: Numbered): void {
    this.early ??= new Map();
    if (this.early.size < maxEarly) this.early.set(frame.number, frame);
  }

  private inTurn(): readonly Numbered[] {
    const { early } = this;
    if (this.next === undefined || early === undefined) return [];
    const due: Numbered[] = [];
    for (const number of early.keys()) if (number < this.next) early.delete(number);
    for (let frame = early.get(this.next); frame; frame = early.get(this.next)) {
      early.delete(this.next);
      this.next++;
      due.push(frame);
    }
    if (early.size === 0) this.early = undefined;
    return due;
  }
}

/** Only seats that this engine's `take` gave out come back to it. */
export function ownSeat(seat: Seat): LocalSeat {
  return seat as LocalSeat;
}
