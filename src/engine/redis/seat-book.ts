import type { AppId, Side } from "../../base/ids.ts";
import type { SeatAddress, SeatMessage } from "./messages.ts";
import type { LocalSeat } from "./seat.ts";

interface Expected {
  takes: number;
  /** What came for tokens that this node has not heard of. */
  readonly early: { readonly token: number; readonly message: SeatMessage }[];
}

/** The seats whose connections are on this node. */
export class SeatBook {
  private readonly byToken = new Map<string, LocalSeat>();
  private readonly bySide = new Map<string, LocalSeat>();
  /** Takes under way: a message for the new seat may overtake the answer with its token. */
  private readonly expected = new Map<string, Expected>();

  get all(): Iterable<LocalSeat> {
    return this.byToken.values();
  }

  get size(): number {
    return this.byToken.size;
  }

  find({ appId, side, token }: SeatAddress): LocalSeat | undefined {
    return this.byToken.get(`${appId}/${side}/${token}`);
  }

  /** The latest on this node; whether another node has a later one is not known here. */
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

  /** A seat is being taken. Call `arrived` when that is over, whatever came of it. */
  expect({ appId, side }: Omit<SeatAddress, "token">): void {
    const place = `${appId}/${side}`;
    const expected = this.expected.get(place) ?? { takes: 0, early: [] };
    expected.takes++;
    this.expected.set(place, expected);
  }

  /** Answers what came for this token meanwhile. */
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
