import type { Account } from "../../base/account.ts";
import type { AppId, Side } from "../../base/ids.ts";
import type { Newcomer, RelayOutcome, RelayType, Seat, SeatListener } from "../engine.ts";
import type { Numbered, SeatAddress, SeatMessage } from "./messages.ts";

/** The occupant of the other side, as this node knows it. */
export interface PeerSeat {
  readonly token: number;
  readonly node: string;
}

/** A frame whose publisher waits for what becomes of it. */
export interface OutgoingFrame {
  readonly type: RelayType;
  readonly frame: string;
  readonly resolve: (outcome: RelayOutcome) => void;
  readonly reject: (error: unknown) => void;
}

/** Most frames kept that came ahead of their turn; later ones are pulled from the ring. */
const maxEarly = 1_024;

/**
 * A seat whose connection is on this node. Messages from other nodes and renewals of its lease keep it
 * current. When its room has vanished from Redis, it is taken anew and gets another token.
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
  /** Counts the messages about its peer's coming and going. */
  peerChanges = 0;
  /** The number of the next frame to hand on; undefined until its relay has begun. */
  next: number | undefined;
  /** The number of the last frame that it sent to the other side by way of Redis. */
  lastSent = 0;
  /** Frames of its own that go to Redis in the next call; undefined while none is under way either. */
  outgoing: OutgoingFrame[] | undefined;
  /** The highest seq read from its mailbox. */
  lastRead = 0;
  /** When its lease ends, ms of the monotonic clock. */
  leasedUntil = 0;
  /** When it is to be renewed, likewise. */
  renewAt = 0;
  renewing = false;
  /** Whether the last try to renew it failed. */
  renewFailed = false;
  healing: Promise<void> | undefined;
  pulling: Promise<void> | undefined;
  private early: Map<number, Numbered> | undefined;
  /** A message that it was taken over has come, and may still wait. Its peer may know already. */
  isReplaced = false;
  /** What waits until the taker knows that it has the seat. */
  private waiting: (() => void)[] | undefined = [];

  constructor(
    { appId, side, sid, accounts, listener }: Omit<Newcomer, "startsRelay">,
    public token: number,
  ) {
    this.appId = appId;
    this.side = side;
    this.sid = sid;
    this.accounts = accounts;
    this.listener = listener;
  }

  /** The taker does not know yet that it has the seat. */
  get isNew(): boolean {
    return this.waiting !== undefined;
  }

  get hasBegun(): boolean {
    return this.next !== undefined;
  }

  /** Handles a message, now or when the taker knows that it has the seat. */
  deliver(message: SeatMessage, handle: (message: SeatMessage) => void): void {
    if (message.kind === "replaced") this.isReplaced = true;
    this.whenOpen(() => handle(message));
  }

  /** Runs `act` now, or when the taker knows that it has the seat. */
  whenOpen(act: () => void): void {
    if (this.waiting) this.waiting.push(act);
    else act();
  }

  /** The taker knows that it has the seat. */
  open(): void {
    const { waiting } = this;
    this.waiting = undefined;
    for (const act of waiting ?? []) act();
  }

  /** Relay has begun: frames up to `after` are not for this seat. Answers what can be handed on. */
  begin(after: number): readonly Numbered[] {
    this.next ??= after + 1;
    return this.inTurn();
  }

  /** A frame has come. Answers what can be handed on: each frame once, and in order. */
  receive(frame: Numbered): readonly Numbered[] {
    if (this.next === frame.number && this.early === undefined) {
      this.next++;
      return [frame];
    }
    this.keep(frame);
    return this.inTurn();
  }

  /** Frames are missing before some that are here. */
  get hasGap(): boolean {
    return this.hasBegun && this.early !== undefined;
  }

  /**
   * Adds the frames pulled from the ring. What is still missing before a frame that is here will never
   * come: `lost` is how many those are.
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

interface Expected {
  takes: number;
  /** Messages for tokens that this node does not know. */
  readonly early: { readonly token: number; readonly message: SeatMessage }[];
}

/** The seats whose connections are on this node. */
export class LocalSeats {
  private readonly byToken = new Map<string, LocalSeat>();
  private readonly bySide = new Map<string, LocalSeat>();
  /** Takes under way: a message for the new seat may overtake the answer with its token. */
  private readonly expected = new Map<string, Expected>();

  get all(): Iterable<LocalSeat> {
    return this.byToken.values();
  }

  find({ appId, side, token }: SeatAddress): LocalSeat | undefined {
    return this.byToken.get(`${appId}/${side}/${token}`);
  }

  /** The latest on this node; another node may have a later one. */
  latest(appId: AppId, side: Side): LocalSeat | undefined {
    return this.bySide.get(`${appId}/${side}`);
  }

  add(seat: LocalSeat): void {
    const place = `${seat.appId}/${seat.side}`;
    this.byToken.set(`${place}/${seat.token}`, seat);
    const other = this.bySide.get(place);
    if (other === undefined || other.token < seat.token) this.bySide.set(place, seat);
  }

  remove(seat: LocalSeat): void {
    const place = `${seat.appId}/${seat.side}`;
    this.byToken.delete(`${place}/${seat.token}`);
    if (this.bySide.get(place) === seat) this.bySide.delete(place);
  }

  /** A seat is being taken. Call `arrived` when that is over, also when it failed. */
  expect({ appId, side }: Omit<SeatAddress, "token">): void {
    const place = `${appId}/${side}`;
    const expected = this.expected.get(place) ?? { takes: 0, early: [] };
    expected.takes++;
    this.expected.set(place, expected);
  }

  /** Answers the messages that came for this token meanwhile. */
  arrived({ appId, side }: Omit<SeatAddress, "token">, token: number): readonly SeatMessage[] {
    const place = `${appId}/${side}`;
    const expected = this.expected.get(place);
    if (expected === undefined) return [];
    if (--expected.takes === 0) this.expected.delete(place);
    return expected.early.flatMap((entry) => (entry.token === token ? [entry.message] : []));
  }

  /** Keeps a message for a seat that may be about to arrive. False when none is. */
  keepEarly({ appId, side, token }: SeatAddress, message: SeatMessage): boolean {
    const expected = this.expected.get(`${appId}/${side}`);
    expected?.early.push({ token, message });
    return expected !== undefined;
  }
}
