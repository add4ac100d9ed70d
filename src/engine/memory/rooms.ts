import type { Account } from "../../base/account.ts";
import type { AppId, Side } from "../../base/ids.ts";
import { type Asker, Connections, type Heard, type Host, type LocalSeat } from "../connections.ts";
import type { EngineLimits } from "../engine.ts";
import { isBare, lookAt } from "../rules/room.ts";
import { run } from "../rules/rules.ts";
import {
  type Held,
  type Occupant,
  type Room,
  type RoomCode,
  type SeatEvent,
  type Shared,
  type Stored,
  type Sum,
  sums,
  type Turn,
  type WaiterEvent,
  type WaiterRef,
} from "../rules/turn.ts";
import { MemoryCodes } from "./codes.ts";
import { DueQueue } from "./due-queue.ts";
import { MemoryIds, MemoryList } from "./lists.ts";
import { partOfAppId, SplitMap } from "./split-map.ts";

/** When space is short, expired rooms are deleted at most this often, not at each refusal. */
const sweptAgainAfterMs = 1_000;

/** A room, and the data stored beside it. */
export class Kept {
  room: Room | undefined;
  A: Beside | undefined;
  B: Beside | undefined;
  /** Whether it is in the index of bare rooms. */
  isBare = false;
  /** When something in it expires next. */
  dueAt = Number.POSITIVE_INFINITY;
}

/** Lists of one side. */
export class Beside {
  readonly mail = new MemoryList<Stored>();
  readonly held = new MemoryList<Held>();
  ids: MemoryIds | undefined;
}

/**
 * The rooms of one process. The same object is the turn of every verb, since turns run one at a time. The
 * events of a turn are delivered when it is over, and may cause the next turn.
 */
export class MemoryRooms implements Turn, Host {
  readonly isAlone = true;
  readonly connections = new Connections(this);
  readonly codes: MemoryCodes;
  readonly kept = new SplitMap<AppId, Kept>(partOfAppId);
  readonly sums = Object.fromEntries([...sums, "bareRooms"].map((sum) => [sum, 0])) as Record<
    Sum,
    number
  >;
  readonly node = "";
  room: Room | undefined;
  appId: AppId = "" as AppId;
  private at: Kept = new Kept();
  /** The time of this turn; undefined until a rule reads it. */
  private time: number | undefined;
  /** The room's code; undefined until a rule reads it; false if it has none. */
  private knownCode: RoomCode | false | undefined;
  private told: Heard[] = [];
  private holder: LocalSeat | undefined;
  private counter = 0;
  private crowding = 0;
  private readonly bytesOf = new Map<string, number>();
  private readonly roomsOf = new Map<string, number>();
  /** Empty rooms without mail, in the order in which they became so. */
  private readonly bare = new Set<AppId>();
  /** Rooms in which something expires. */
  private readonly ending = new DueQueue<Kept>();

  private sweptAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly clock: () => number,
    readonly limits: EngineLimits,
    readonly dropped: Turn["dropped"],
  ) {
    this.codes = new MemoryCodes(clock, limits.redeemWindowMs, (appId) =>
      this.turn(appId, "redeem"),
    );
  }

  // ---- as host of the connections ----

  turn(appId: AppId, verb: string, holder?: Asker, first?: unknown, second?: unknown): never {
    // All seats are local: no other store has any.
    const seat = holder as LocalSeat | undefined;
    const before = (seat?.slot as Kept | undefined) ?? this.kept.get(appId);
    const at = before ?? new Kept();
    if (seat) seat.slot = at;
    this.holder = seat;
    this.at = at;
    this.appId = appId;
    this.room = at.room;
    this.time = undefined;
    this.knownCode = undefined;
    // Discards events of an earlier verb that threw.
    if (this.told.length > 0) this.told = [];
    const answer = run(this, verb, holder, first, second);
    at.room = this.room;
    this.register(appId, at, before !== undefined);
    if (this.told.length > 0) this.hearAll();
    if (this.crowding > 0) this.giveWay();
    // `Host.turn` has the type of each verb's answer.
    return answer as never;
  }

  /** Never called: no other nodes exist. */
  send(): void {}

  after(_: number, run: () => void): () => void {
    queueMicrotask(run);
    return () => {};
  }

  sweepIfDue(): void {
    if (this.clock() - this.sweptAt >= sweptAgainAfterMs) this.sweep();
  }

  /** Forgets expired rooms and holds. */
  sweep(): void {
    this.sweptAt = this.clock();
    const due: Kept[] = [];
    for (let at = this.ending.take(this.sweptAt); at; at = this.ending.take(this.sweptAt))
      due.push(at);
    for (const { room } of due) if (room !== undefined) this.turn(room.appId, "nothing");
  }

  private giveWay(): void {
    const oldest = [...this.bare.keys().take(this.crowding)];
    this.crowding = 0;
    for (const appId of oldest) this.turn(appId, "giveWay");
  }

  private hearAll(): void {
    const { told } = this;
    const [first] = told;
    if (told.length === 1 && first) {
      // The usual case: reuses the list.
      told.pop();
      return this.connections.hear(first);
    }
    this.told = [];
    for (const message of told) this.connections.hear(message);
  }

  /** Restores a saved empty room, unless it has expired. `fill` restores the data beside it. */
  restore(room: Room, fill: () => void): void {
    this.at = new Kept();
    this.at.room = room;
    this.kept.set(room.appId, this.at);
    this.count("rooms", 1);
    this.charge("rooms", room.owner, 1);
    fill();
    if (isBare(room)) this.count("bareRooms", 1);
    this.turn(room.appId, "nothing");
  }

  /** Updates the indexes of all rooms after a turn. */
  private register(appId: AppId, at: Kept, isKept: boolean): void {
    const { room } = at;
    if (room === undefined) {
      if (!isKept) return;
      this.kept.delete(appId);
      this.bare.delete(appId);
      return;
    }
    if (!isKept) this.kept.set(appId, at);
    const ends = room.emptyAt !== undefined || (room.A.hold ?? room.B.hold) !== undefined;
    const dueAt = ends ? lookAt(this, room) : undefined;
    if (dueAt === undefined) at.dueAt = Number.POSITIVE_INFINITY;
    else if (dueAt !== at.dueAt) this.ending.add(at, dueAt);
    const bare = ends && isBare(room);
    if (bare === at.isBare) return;
    at.isBare = bare;
    if (bare) this.bare.add(appId);
    else this.bare.delete(appId);
  }

  // ---- the turn, as the rules use it ----

  get now(): number {
    this.time ??= this.clock();
    return this.time;
  }

  get fresh(): number {
    return ++this.counter;
  }

  code(): RoomCode | undefined {
    this.knownCode ??= this.codes.ofRoom(this.appId) ?? false;
    return this.knownCode || undefined;
  }

  isAlive(): boolean {
    return true;
  }

  counted(sum: Sum): number {
    return this.sums[sum];
  }

  count(sum: Sum, amount: number): void {
    this.sums[sum] += amount;
  }

  charged(what: Shared, { key }: Account): number {
    return (what === "bytes" ? this.bytesOf : this.roomsOf).get(key) ?? 0;
  }

  charge(what: Shared, accounts: readonly Account[], amount: number): void {
    const charges = what === "bytes" ? this.bytesOf : this.roomsOf;
    for (const { key } of accounts) {
      const left = (charges.get(key) ?? 0) + amount;
      if (left > 0) charges.set(key, left);
      else charges.delete(key);
    }
  }

  mail(side: Side): MemoryList<Stored> {
    return this.beside(side).mail;
  }

  held(side: Side): MemoryList<Held> {
    return this.beside(side).held;
  }

  ids(side: Side): MemoryIds {
    const beside = this.beside(side);
    beside.ids ??= new MemoryIds();
    return beside.ids;
  }

  private beside(side: Side): Beside {
    const { at } = this;
    at[side] ??= new Beside();
    return at[side];
  }

  makeSpace(rooms: number): void {
    this.crowding = rooms;
  }

  tell(side: Side, { token }: Occupant, event: SeatEvent): void {
    const { holder } = this;
    const seat = holder?.side === side ? holder : holder?.peerHere;
    if (seat?.token === token) this.told.push({ to: "here", seat, event });
    else this.told.push({ to: "seat", appId: this.appId, side, token, event });
  }

  tellWaiter({ name }: WaiterRef, event: WaiterEvent): void {
    this.told.push({ to: "waiter", name, event });
  }
}
