import type { Account } from "../../../base/account.ts";
import type { AppId, Side } from "../../../base/ids.ts";
import type { EngineLimits } from "../../engine.ts";
import type { CodeRecord } from "../../rules/codes.ts";
import { isBare, lookAt, run } from "../../rules/rules.ts";
import type {
  Held,
  HeldList,
  Holder,
  IdMemory,
  List,
  Message,
  Occupant,
  Room,
  RoomCode,
  SeatAddress,
  SeatEvent,
  Shared,
  Stored,
  Sum,
  Turn,
  WaiterEvent,
  WaiterRef,
} from "../../rules/turn.ts";
import { sides } from "../../rules/turn.ts";
import { call, pack, unpack, type Value } from "./lua.ts";
import { json, keyOf, numberAt, present } from "./present.ts";

// A turn at a room inside of Redis. Nothing is written before the rules have returned, so that a rule that
// fails changes nothing.

// ---- what is kept beside a room ----

/** A list: what Redis has, less the first `dropped`, and what this turn has pushed. */
class RedisList<T> implements List<T> {
  readonly size: number;
  dropped = 0;
  pushed: T[] = [];

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

  adds(): boolean {
    return this.pushed.length > 0;
  }

  write(): void {
    if (this.dropped > 0 && this.size > 0) call("LTRIM", this.key, this.dropped, -1);
    for (let at = Math.max(0, this.dropped - this.size); at < this.pushed.length; at++) {
      call("RPUSH", this.key, pack(this.pushed[at]));
    }
    if (this.pushed.length > 0) call("PEXPIRE", this.key, present.common.keptMs);
  }
}

/** Ids in a hash, and their order in a list. */
class RedisIds implements IdMemory {
  private readonly order: RedisList<string>;
  private readonly seqs: Record<string, number> = {};
  private readonly gone: Record<string, true> = {};

  constructor(private readonly key: string) {
    this.order = new RedisList(`${key}:order`);
  }

  seqOf(id: string): number | undefined {
    const seq = this.seqs[id];
    if (seq !== undefined || this.gone[id] !== undefined) return seq;
    const known = call<Value>("HGET", this.key, id);
    return known === false ? undefined : numberAt(known);
  }

  put(id: string, seq: number): void {
    this.seqs[id] = seq;
    this.order.push(id);
  }

  dropOldest(): string {
    const oldest = this.order.slice(0, 1)[0] as string;
    this.order.drop(1);
    delete this.seqs[oldest];
    this.gone[oldest] = true;
    return oldest;
  }

  clear(): void {
    const stored = this.order.size - this.order.dropped;
    for (const id of this.order.slice(0, stored)) this.gone[id] = true;
    for (const id in this.seqs) delete this.seqs[id];
    this.order.replace([]);
  }

  adds(): boolean {
    return this.order.adds();
  }

  write(): void {
    for (const id in this.gone) call("HDEL", this.key, id);
    for (const id in this.seqs) {
      call("HSET", this.key, id, this.seqs[id] as number);
      call("PEXPIRE", this.key, present.common.keptMs);
    }
    this.order.write();
  }
}

// ---- the turn that the rules see ----

type DropReason = Parameters<Turn["dropped"]>[0];

class RedisTurn implements Turn {
  readonly key: string;
  readonly now: number;
  readonly node: string;
  readonly limits: EngineLimits;
  readonly counts: Record<string, number> = {};
  readonly told: Record<string, Message[]> = {};
  readonly drops: Partial<Record<DropReason, number>> = {};
  private readonly lists: Record<string, RedisList<unknown>> = {};
  private readonly idsOf: Record<string, RedisIds> = {};
  /** Somebody sits down for the asking node, which has to be alive then. */
  seatsOwn = false;
  private knownCode: RoomCode | false | undefined;

  constructor(
    readonly appId: AppId,
    public room: Room | undefined,
    readonly fresh: number,
  ) {
    this.key = keyOf(`{${appId}}`);
    this.now = present.now;
    this.node = present.node;
    this.limits = present.common.limits;
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

  count(sum: Sum, amount: number): void {
    this.add(sum, amount);
  }

  charged(what: Shared, account: Account): number {
    return this.counted(shareName(what, account));
  }

  charge(what: Shared, accounts: readonly Account[], amount: number): void {
    for (const account of accounts) this.add(shareName(what, account), amount);
  }

  private add(name: string, amount: number): void {
    this.counts[name] = (this.counts[name] ?? 0) + amount;
  }

  mail(side: Side): List<Stored> {
    return this.list(`:mail${side}`) as RedisList<Stored>;
  }

  held(side: Side): HeldList {
    return this.list(`:held${side}`) as RedisList<Held>;
  }

  private list(name: string): RedisList<unknown> {
    this.lists[name] ??= new RedisList(this.key + name);
    return this.lists[name] as RedisList<unknown>;
  }

  ids(side: Side): IdMemory {
    this.idsOf[side] ??= new RedisIds(`${this.key}:ids${side}`);
    return this.idsOf[side] as RedisIds;
  }

  tell(side: Side, { node, token }: Occupant, event: SeatEvent): void {
    this.send(node, { to: "seat", appId: this.appId, side, token, event });
  }

  tellWaiter({ node, name }: WaiterRef, event: WaiterEvent): void {
    this.send(node, { to: "waiter", name, event });
  }

  private send(node: string, message: Message): void {
    this.told[node] ??= [];
    this.told[node]?.push(message);
  }

  dropped(reason: DropReason, count: number): void {
    this.drops[reason] = (this.drops[reason] ?? 0) + count;
  }

  // ---- carrying out ----

  /** Whether it adds to what Redis keeps. A full Redis refuses such a turn as a whole. */
  adds(isNew: boolean): boolean {
    if (isNew && this.room !== undefined) return true;
    for (const name in this.lists) if (this.lists[name]?.adds() === true) return true;
    for (const side in this.idsOf) if (this.idsOf[side]?.adds() === true) return true;
    for (const node in this.told) {
      if (node === this.node) continue;
      for (const message of this.told[node] ?? []) {
        if (message.to === "seat" && message.event.kind === "frame") return true;
      }
    }
    return false;
  }

  /** Nothing but frames for the other side. They change nothing in a room. */
  onlyRelays(): boolean {
    for (const _ in this.counts) return false;
    for (const node in this.told) {
      for (const message of this.told[node] ?? []) {
        if (message.to !== "seat" || message.event.kind !== "frame") return false;
      }
    }
    return true;
  }

  write(before: string | false, known: Entered): void {
    for (const name in this.lists) this.lists[name]?.write();
    for (const side in this.idsOf) this.idsOf[side]?.write();
    const entered = enter(this, known);
    if (this.room !== undefined) {
      const text = pack([this.room, entered]);
      if (text !== before) call("SET", this.key, text, "PX", present.common.keptMs);
    } else if (before !== false) {
      call("DEL", this.key);
    }
    const sums = keyOf("sums");
    for (const name in this.counts) {
      const amount = this.counts[name] as number;
      if (amount !== 0 && call<number>("HINCRBY", sums, name, amount) <= 0)
        call("HDEL", sums, name);
    }
    this.tellOthers();
  }

  tellOthers(): void {
    for (const node in this.told) if (node !== this.node) post(node, this.told[node] ?? []);
  }
}

function shareName(what: Shared, { key, kind }: Account): string {
  return `${what}:${kind}:${key}`;
}

/** When the lease of a node ends; 0 for one that is not known. */
export function leaseOf(node: string): number {
  return numberAt(call<Value>("ZSCORE", keyOf("nodes"), node));
}

/** So much any node may leave unread: several frames of the largest size. */
const leastStreamBytes = 4_194_304;

/**
 * Tells a node. One that is gone has no stream, and one that Redis has forgotten gets another only to be
 * told to look. One that does not read loses, past a bound, all that it has not read, and is told so.
 */
export function post(node: string, messages: readonly Message[]): object {
  const stream = keyOf(`node:${node}`);
  const streams = keyOf("streams");
  const text = json(messages);
  if (call<Value>("XADD", stream, "NOMKSTREAM", "*", "m", text) === false) {
    if (!messages.some((message) => isCheck(message))) return {};
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

function isCheck(message: Message): boolean {
  return message.to === "seat" && message.event.kind === "check";
}

/** Where a room stands among all rooms. */
interface Entered {
  /** When it has to be looked at. */
  readonly due?: number | undefined;
  /** Since when it has stood empty without mail. */
  readonly bare?: number | undefined;
  /** The nodes of its seats. */
  readonly nodes: readonly string[];
}

/** Enters where a room stands, where that is not known yet. */
function enter(turn: RedisTurn, known: Entered): Entered {
  const { appId, room } = turn;
  const nodes: string[] = [];
  for (const place of room === undefined ? [] : [room.A, room.B]) {
    if (place.seat !== undefined && !nodes.includes(place.seat.node)) nodes.push(place.seat.node);
  }
  const due = room === undefined ? undefined : lookAt(turn, room);
  const bare = room !== undefined && isBare(room) ? room.emptyAt : undefined;
  setScore("due", known.due, due, appId);
  setScore("bare", known.bare, bare, appId);
  for (const node of known.nodes) {
    if (!nodes.includes(node)) call("SREM", keyOf(`seats:${node}`), appId);
  }
  for (const node of nodes) {
    if (known.nodes.includes(node)) continue;
    call("SADD", keyOf(`seats:${node}`), appId);
    if (node === turn.node) turn.seatsOwn = true;
  }
  return { due, bare, nodes };
}

function setScore(
  name: string,
  before: number | undefined,
  after: number | undefined,
  appId: AppId,
) {
  if (after === before) return;
  if (after === undefined) call("ZREM", keyOf(name), appId);
  else call("ZADD", keyOf(name), after, appId);
}

/** The seats of a room that a node has. */
export function seatsOf(appId: AppId, node: string): readonly SeatAddress[] {
  const text = call<string | false>("GET", keyOf(`{${appId}}`));
  const found: SeatAddress[] = [];
  if (text === false) return found;
  const [room] = unpack<readonly [Room]>(text);
  for (const side of sides) {
    const { seat } = room[side];
    if (seat?.node === node) found.push({ appId, side, token: seat.token });
  }
  return found;
}

/** What is asked of a room. */
export interface Asked {
  readonly verb: string;
  readonly holder?: Holder | undefined;
  readonly args: readonly unknown[];
  /** See `Turn.fresh`. */
  readonly fresh: number;
}

export interface TurnReply {
  readonly answer?: unknown;
  /** What the asking node is told. */
  readonly here?: readonly Message[] | undefined;
  /** What was given up. */
  readonly drops?: Readonly<Partial<Record<DropReason, number>>>;
  /** The asking node had no lease. */
  readonly hasNoLease?: boolean;
}

/** Gives a verb its turn at a room. Undefined where there is no space for what it would add. */
export function runTurn(
  appId: AppId,
  { verb, holder, args, fresh }: Asked,
  isFull: boolean,
): TurnReply | undefined {
  const before = call<string | false>("GET", keyOf(`{${appId}}`));
  const kept = before === false ? undefined : unpack<readonly [Room, Entered]>(before);
  const turn = new RedisTurn(appId, kept?.[0], fresh);
  const answer = run(turn, verb, holder, args[0], args[1]);
  if (isFull && turn.adds(before === false)) return undefined;
  if (verb === "publish" && turn.onlyRelays()) turn.tellOthers();
  else turn.write(before, kept?.[1] ?? { nodes: [] });
  const hasNoLease = turn.seatsOwn && leaseOf(present.node) <= present.real;
  if (hasNoLease) call("ZADD", keyOf("nodes"), present.real + present.common.leaseMs, present.node);
  const reply = { answer, here: turn.told[present.node], drops: turn.drops };
  return hasNoLease ? { ...reply, hasNoLease } : reply;
}
