import type { Account } from "../../../base/account.ts";
import type { AppId, Side } from "../../../base/ids.ts";
import type { Seat } from "../../engine.ts";
import type { CodeRecord } from "../../rules/codes.ts";
import { isBare, lookAt } from "../../rules/room.ts";
import { run } from "../../rules/rules.ts";
import type {
  Held,
  Holder,
  IdMemory,
  List,
  Message,
  Occupant,
  Room,
  RoomCode,
  SeatEvent,
  Shared,
  Stored,
  Turn,
  WaiterEvent,
  WaiterRef,
} from "../../rules/turn.ts";
import { sides } from "../../rules/turn.ts";
import { call, pack, unpack, type Value } from "./lua.ts";
import { json, keyOf, numberAt, present } from "./present.ts";

// A turn at a room inside Redis. Nothing is written before the rules have returned, so a rule that fails
// changes nothing.

// ---- data stored beside a room ----

/** A list in Redis without its first `dropped` items, followed by the items that this turn has pushed. */
class RedisList<T> implements List<T> {
  private readonly size: number;
  private dropped = 0;
  private pushed: T[] = [];

  constructor(private readonly key: string) {
    this.size = call<number>("LLEN", key);
  }

  push(item: T): void {
    this.pushed.push(item);
  }

  slice(from: number, count: number): readonly T[] {
    const found: T[] = [];
    const first = this.dropped + from;
    const last = Math.min(first + count, this.size + this.pushed.length) - 1;
    if (first < this.size) {
      const stored = call<string[]>("LRANGE", this.key, first, Math.min(last, this.size - 1));
      for (const item of stored) found.push(unpack<T>(item));
    }
    for (let at = Math.max(first, this.size); at <= last; at++) {
      found.push(this.pushed[at - this.size] as T);
    }
    return found;
  }

  drop(count: number): void {
    this.dropped += count;
  }

  replace(items: readonly T[]): void {
    this.dropped = this.size;
    this.pushed = [...items];
  }

  write(): void {
    if (this.dropped > 0 && this.size > 0) call("LTRIM", this.key, this.dropped, -1);
    for (let at = Math.max(0, this.dropped - this.size); at < this.pushed.length; at++) {
      call("RPUSH", this.key, pack(this.pushed[at]));
      call("PEXPIRE", this.key, present.common.keptMs);
    }
  }
}

/** Ids in a hash, and their order in a list. `seqOf` does not see the ids that this turn puts. */
class RedisIds implements IdMemory {
  private readonly order: RedisList<string>;
  private readonly writes: (() => void)[] = [];

  constructor(private readonly key: string) {
    this.order = new RedisList(`${key}:order`);
  }

  seqOf(id: string): number | undefined {
    const seq = call<Value>("HGET", this.key, id);
    return seq === false ? undefined : numberAt(seq);
  }

  put(id: string, seq: number): void {
    this.order.push(id);
    this.writes.push(() => {
      call("HSET", this.key, id, seq);
      call("PEXPIRE", this.key, present.common.keptMs);
    });
  }

  dropOldest(): string {
    const oldest = this.order.slice(0, 1)[0] as string;
    this.order.drop(1);
    this.writes.push(() => call("HDEL", this.key, oldest));
    return oldest;
  }

  clear(): void {
    this.order.replace([]);
    this.writes.push(() => call("DEL", this.key));
  }

  write(): void {
    for (const write of this.writes) write();
    this.order.write();
  }
}

// ---- the turn that the rules see ----

type DropReason = Parameters<Turn["dropped"]>[0];

/** The entries of a room in the indexes of all rooms. */
interface Entered {
  /** When something in it expires next. */
  readonly due?: number | undefined;
  /** Since when it has been bare. */
  readonly bare?: number | undefined;
  /** The nodes of its seats. */
  readonly nodes: readonly string[];
}

class RedisTurn implements Turn {
  readonly now = present.now;
  readonly node = present.node;
  readonly limits = present.common.limits;
  room: Room | undefined;
  readonly told: Record<string, Message[]> = {};
  readonly drops: Partial<Record<DropReason, number>> = {};
  /** The turn seats a connection of the asking node, so that node needs a lease. */
  seatsOwn = false;
  private readonly key: string;
  /** The stored room, before this turn. */
  private readonly before: string | false;
  private readonly entered: Entered;
  private readonly counts: Record<string, number> = {};
  private readonly beside: Record<string, RedisList<unknown> | RedisIds> = {};
  private crowding = 0;
  /** The turn changes the room. Relaying frames does not. */
  private changes = false;
  /** The turn adds a frame to the stream of another node. */
  private sendsFrame = false;
  private knownCode: RoomCode | false | undefined;

  constructor(
    readonly appId: AppId,
    readonly fresh: number,
  ) {
    this.key = keyOf(`{${appId}}`);
    this.before = call<string | false>("GET", this.key);
    const [room, entered] = this.before === false ? [] : unpack<[Room, Entered]>(this.before);
    this.room = room;
    this.entered = entered ?? { nodes: [] };
  }

  code(): RoomCode | undefined {
    if (this.knownCode === undefined) this.knownCode = this.findCode() ?? false;
    return this.knownCode === false ? undefined : this.knownCode;
  }

  private findCode(): RoomCode | undefined {
    const code = call<string | false>("GET", keyOf(`room:${this.appId}`));
    const text = code !== false && call<string | false>("GET", keyOf(`code:${code}`));
    if (text === false) return undefined;
    const { appId, freeAt, isUsed, expiresAt } = unpack<CodeRecord>(text);
    if (appId !== this.appId || this.now >= freeAt) return undefined;
    if (isUsed) return { state: "used", expiresAt };
    return { state: this.now < expiresAt ? "live" : "expired", expiresAt };
  }

  isAlive(node: string): boolean {
    return node === this.node || leaseOf(node) > present.real;
  }

  counted(sum: string): number {
    return numberAt(call<Value>("HGET", keyOf("sums"), sum)) + (this.counts[sum] ?? 0);
  }

  count(sum: string, amount: number): void {
    this.changes = true;
    this.counts[sum] = (this.counts[sum] ?? 0) + amount;
  }

  charged(what: Shared, account: Account): number {
    return this.counted(shareName(what, account));
  }

  charge(what: Shared, accounts: readonly Account[], amount: number): void {
    for (const account of accounts) this.count(shareName(what, account), amount);
  }

  mail(side: Side): List<Stored> {
    return this.list(`:mail${side}`) as RedisList<Stored>;
  }

  held(side: Side): List<Held> {
    return this.list(`:held${side}`) as RedisList<Held>;
  }

  private list(name: string): RedisList<unknown> {
    this.beside[name] ??= new RedisList(this.key + name);
    return this.beside[name] as RedisList<unknown>;
  }

  ids(side: Side): IdMemory {
    this.beside[side] ??= new RedisIds(`${this.key}:ids${side}`);
    return this.beside[side] as RedisIds;
  }

  makeSpace(rooms: number): void {
    this.crowding = rooms;
  }

  tell(side: Side, { node, token }: Occupant, event: SeatEvent): void {
    if (event.kind !== "frame") this.changes = true;
    else if (node !== this.node) this.sendsFrame = true;
    this.send(node, { to: "seat", appId: this.appId, side, token, event });
  }

  tellWaiter({ node, name }: WaiterRef, event: WaiterEvent): void {
    this.changes = true;
    this.send(node, { to: "waiter", name, event });
  }

  private send(node: string, message: Message): void {
    this.told[node] ??= [];
    this.told[node]?.push(message);
  }

  dropped(reason: DropReason, count: number): void {
    this.drops[reason] = (this.drops[reason] ?? 0) + count;
  }

  // ---- writing the changes ----

  /** Whether the turn adds data to Redis. A full Redis refuses such a turn as a whole. */
  adds(): boolean {
    for (const sum of ["rooms", "mails", "heldFrames"]) {
      if ((this.counts[sum] ?? 0) > 0) return true;
    }
    return this.sendsFrame;
  }

  write(verb: string): void {
    if (this.changes || verb !== "publish") this.writeRoom();
    for (const node in this.told) if (node !== this.node) post(node, this.told[node] ?? []);
    if (this.crowding > 0) this.giveWay();
  }

  private writeRoom(): void {
    for (const name in this.beside) this.beside[name]?.write();
    const entered = this.enter();
    if (this.room !== undefined) {
      const text = pack([this.room, entered]);
      if (text !== this.before) call("SET", this.key, text, "PX", present.common.keptMs);
    } else if (this.before !== false) {
      call("DEL", this.key);
    }
    const sums = keyOf("sums");
    for (const name in this.counts) {
      const amount = this.counts[name] as number;
      if (amount !== 0 && call<number>("HINCRBY", sums, name, amount) <= 0)
        call("HDEL", sums, name);
    }
  }

  /** Updates the room's entries in the indexes, if they have changed. */
  private enter(): Entered {
    const { appId, room, entered } = this;
    const due = room === undefined ? undefined : lookAt(this, room);
    const bare = room !== undefined && isBare(room) ? room.emptyAt : undefined;
    this.score("due", entered.due, due);
    this.score("bare", entered.bare, bare);
    const nodes: string[] = [];
    for (const { seat } of room === undefined ? [] : [room.A, room.B]) {
      if (seat !== undefined && !nodes.includes(seat.node)) nodes.push(seat.node);
    }
    for (const node of entered.nodes) {
      if (!nodes.includes(node)) call("SREM", keyOf(`seats:${node}`), appId);
    }
    for (const node of nodes) {
      if (entered.nodes.includes(node)) continue;
      call("SADD", keyOf(`seats:${node}`), appId);
      if (node === this.node) this.seatsOwn = true;
    }
    return { due, bare, nodes };
  }

  private score(name: string, before: number | undefined, after: number | undefined): void {
    if (after === before) return;
    if (after === undefined) call("ZREM", keyOf(name), this.appId);
    else call("ZADD", keyOf(name), after, this.appId);
  }

  private giveWay(): void {
    for (const appId of call<AppId[]>("ZRANGE", keyOf("bare"), 0, this.crowding - 1)) {
      if (appId === ("" as AppId)) return;
      const turn = new RedisTurn(appId, this.fresh);
      run(turn, "giveWay", undefined);
      turn.write("giveWay");
      for (const reason in turn.drops) {
        this.dropped(reason as DropReason, turn.drops[reason as DropReason] as number);
      }
    }
  }
}

function shareName(what: Shared, { key, kind }: Account): string {
  return `${what}:${kind}:${key}`;
}

/** When the lease of a node ends; 0 for an unknown node. */
export function leaseOf(node: string): number {
  return numberAt(call<Value>("ZSCORE", keyOf("nodes"), node));
}

/** Bytes that any node may leave unread: several frames of the largest size. */
const leastStreamBytes = 4_194_304;

/**
 * Sends messages to a node. A node that is gone, or that Redis has forgotten, has no stream: only a
 * `check` creates one. If a node leaves more bytes unread than its bound, all of them are replaced by a
 * `gap` entry.
 */
export function post(node: string, messages: readonly Message[]): object {
  const stream = keyOf(`node:${node}`);
  const streams = keyOf("streams");
  const text = json(messages);
  if (call<Value>("XADD", stream, "NOMKSTREAM", "*", "m", text) === false) {
    const hasCheck = messages.some((one) => one.to === "seat" && one.event.kind === "check");
    if (!hasCheck) return {};
    call("XADD", stream, "*", "m", text);
    call("PEXPIRE", stream, present.common.leaseMs);
  }
  const unread = call<number>("HINCRBY", streams, node, text.length);
  if (unread <= leastStreamBytes) return {};
  if (unread <= present.common.streamBytes / call<number>("ZCARD", keyOf("nodes"))) return {};
  call("XTRIM", stream, "MAXLEN", 0);
  call("XADD", stream, "*", "m", "gap");
  call("HSET", streams, node, 0);
  return {};
}

/** The seats of a room whose connections are on a node. */
export function seatsOf(appId: AppId, node: string): readonly Seat[] {
  const text = call<string | false>("GET", keyOf(`{${appId}}`));
  const found: Seat[] = [];
  if (text === false) return found;
  const [room] = unpack<readonly [Room]>(text);
  for (const side of sides) {
    const { seat } = room[side];
    if (seat?.node === node) found.push({ appId, side, token: seat.token });
  }
  return found;
}

/** A request for a turn at a room. */
export interface Asked {
  readonly verb: string;
  readonly holder?: Holder | undefined;
  readonly args: readonly unknown[];
  /** See `Turn.fresh`. */
  readonly fresh: number;
}

export interface TurnReply {
  readonly answer?: unknown;
  /** Events for the asking node. */
  readonly here?: readonly Message[] | undefined;
  /** How many accepted frames or mails were dropped, by reason. */
  readonly drops?: Readonly<Partial<Record<DropReason, number>>>;
  /** The asking node had no lease. */
  readonly hasNoLease?: boolean;
}

/** Runs a verb as a turn at a room. Undefined when Redis is full and the verb would add data. */
export function runTurn(appId: AppId, { verb, holder, args, fresh }: Asked): TurnReply | undefined {
  const turn = new RedisTurn(appId, fresh);
  const answer = run(turn, verb, holder, args[0], args[1]);
  if (present.isFull && turn.adds()) return undefined;
  turn.write(verb);
  const { node, real, common } = present;
  const hasNoLease = turn.seatsOwn && leaseOf(node) <= real;
  if (hasNoLease) call("ZADD", keyOf("nodes"), real + common.leaseMs, node);
  return { answer, here: turn.told[node], drops: turn.drops, hasNoLease };
}
