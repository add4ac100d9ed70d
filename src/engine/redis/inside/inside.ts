import type { AppId } from "../../../base/ids.ts";
import type { Seat, Sizes } from "../../engine.ts";
import { type Message, sums } from "../../rules/turn.ts";
import { codeSizes, noMisses, recentMissesNow, runClaim, runGuess } from "./codes.ts";
import { call, format, match, number, pack, parse, type Value } from "./lua.ts";
import { begin, json, keyOf, numberAt, present } from "./present.ts";
import { type Asked, leaseOf, post, runTurn, seatsOf } from "./turn.ts";

// The calls of a node: a turn at a room, an operation on the codes, and the work of a node in a cluster
// (its lease, its stream, and rooms that are due).

/** The state of a stream. */
interface Stream {
  /** Its highest id. */
  readonly last: string;
  /** Redis had forgotten the stream or gone back in time, so its ids were raised above the last one read. */
  readonly isMoved: boolean;
}

/** This node's stream. New ids are above `read`, the last id that the node has read; "": none yet. */
function ownStream(read: string): Stream {
  const stream = keyOf(`node:${present.node}`);
  if (call<number>("EXISTS", stream) === 0) {
    call("HSET", keyOf("streams"), present.node, 0);
    const id = read === "" ? "*" : read;
    return { last: call<string>("XADD", stream, "MAXLEN", 0, id, "m", ""), isMoved: true };
  }
  const facts = call<string[]>("XINFO", "STREAM", stream);
  const last = facts[facts.indexOf("last-generated-id") + 1] as string;
  if (read === "" || !isBefore(last, read)) return { last, isMoved: false };
  call("XSETID", stream, read);
  return { last: read, isMoved: true };
}

function isBefore(one: string, other: string): boolean {
  const [ms, otherMs] = [msOf(one), msOf(other)];
  return ms < otherMs || (ms === otherMs && seqOf(one) < seqOf(other));
}

function msOf(id: string): number {
  return number(match(id, "^%d+")) ?? 0;
}

function seqOf(id: string): number {
  return number(match(id, "%d+$")) ?? 0;
}

/** Deletes the entries that the node has read: those up to `read`, `bytes` in total. */
function trim(read: string, bytes: number): void {
  if (read === "") return;
  const stream = keyOf(`node:${present.node}`);
  call("XTRIM", stream, "MINID", format("%.0f-%.0f", msOf(read), seqOf(read) + 1));
  if (call<number>("XLEN", stream) === 0) call("HSET", keyOf("streams"), present.node, 0);
  else call("HINCRBY", keyOf("streams"), present.node, 0 - bytes);
}

function forgetNode(node: string): object {
  call("ZREM", keyOf("nodes"), node);
  call("HDEL", keyOf("streams"), node);
  call("DEL", keyOf(`node:${node}`), keyOf(`seats:${node}`));
  return {};
}

/** Ends a node's lease. Other nodes then free the seats that it could not give up. */
function leave(): object {
  const { node, real } = present;
  if (call<number>("SCARD", keyOf(`seats:${node}`)) <= 1) return forgetNode(node);
  call("ZADD", keyOf("nodes"), real, node);
  return {};
}

/** Some rooms with seats of nodes that are gone. A gone node without seats is forgotten. */
function roomsOfTheGone(): readonly AppId[] {
  const rooms: AppId[] = [];
  const gone = call<string[]>("ZRANGEBYSCORE", keyOf("nodes"), "-inf", present.real, "LIMIT", 0, 8);
  for (const node of gone) {
    call("SREM", keyOf(`seats:${node}`), "");
    const some = call<AppId[]>("SRANDMEMBER", keyOf(`seats:${node}`), 100);
    for (const appId of some) {
      if (call<number>("EXISTS", keyOf(`{${appId}}`)) === 1) rooms.push(appId);
      else call("SREM", keyOf(`seats:${node}`), appId);
    }
    if (some.length === 0) forgetNode(node);
  }
  return rooms;
}

/**
 * Renews the expiry of keys about all rooms and nodes. They live half as long as rooms: totals that outlive
 * the rooms they count would stay too high forever. Each key gets an empty member, so that it exists
 * before its first use.
 */
function keepShared(): void {
  const { node, common } = present;
  for (const name of ["sums", "streams"]) call("HSETNX", keyOf(name), "", 0);
  for (const name of sortedSets) call("ZADD", keyOf(name), "+inf", "");
  call("SADD", keyOf(`seats:${node}`), "");
  call("SET", keyOf("misses"), pack(noMisses()), "NX");
  const others = ["sums", "streams", "misses", "nodes", `seats:${node}`, `node:${node}`];
  for (const name of [...sortedSets, ...others]) call("PEXPIRE", keyOf(name), common.keptMs / 2);
}

/** Sorted sets about rooms and codes. */
const sortedSets = ["due", "bare", "live", "used", "clients", "guessers"];
/** The highest `fresh` number that any node has used. No node may use a lower one. */
function highest(fresh: number): number {
  const known = numberAt(call<Value>("GET", keyOf("fresh")));
  if (fresh > known) call("SET", keyOf("fresh"), fresh, "PX", present.common.keptMs);
  return Math.max(fresh, known);
}

const partsOfRooms = ["", ":mailA", ":mailB", ":idsA", ":idsB", ":idsA:order", ":idsB:order"];

export interface Renewed {
  /** The highest id of the stream. */
  readonly from: string;
  /** Neither lease nor events were lost: the lease had not ended, and the stream was not moved. */
  readonly wentOn: boolean;
  readonly cursor: string;
  /** At least every token and stamp that any node has used. */
  readonly fresh: number;
  /** Some of the seats that the node has according to Redis. */
  readonly seats: readonly Seat[];
  /** Rooms with seats of nodes that are gone. */
  readonly gone: readonly AppId[];
}

/**
 * Renews the lease of a node and the expiry of keys in use. Each call covers a few of the node's rooms, from
 * `cursor` on.
 */
function renew(read: string, bytes: number, cursor: string, fresh: number): Renewed {
  const { node, real, common } = present;
  const wasAlive = leaseOf(node) > real;
  call("ZADD", keyOf("nodes"), real + common.leaseMs, node);
  const { last, isMoved } = ownStream(read);
  trim(read, bytes);
  const seatsKey = keyOf(`seats:${node}`);
  const [next, rooms] = call<[string, AppId[]]>("SSCAN", seatsKey, cursor, "COUNT", 50);
  const seats: Seat[] = [];
  for (const appId of rooms) {
    if (appId === ("" as AppId)) continue;
    for (const part of partsOfRooms) call("PEXPIRE", keyOf(`{${appId}}${part}`), common.keptMs);
    for (const seat of seatsOf(appId, node)) seats.push(seat);
  }
  keepShared();
  const wentOn = wasAlive && !isMoved;
  const known = { fresh: highest(fresh), seats, gone: roomsOfTheGone() };
  return { ...known, from: last, wentOn, cursor: next };
}

export interface Swept {
  readonly sizes: Sizes;
  readonly recentMisses: number;
  /** Rooms in which something has expired. */
  readonly due: readonly AppId[];
}

/** Sizes over all nodes, and rooms that are due. Trims the node's stream, as `renew` does. */
function sweep(read: string, bytes: number): Swept {
  trim(read, bytes);
  const sizes: Record<string, number> = { ...codeSizes(), streamBytes: streamBytes() };
  const found = call<Value[]>("HMGET", keyOf("sums"), ...sums);
  for (let i = 0; i < sums.length; i++) sizes[sums[i] as string] = numberAt(found[i]);
  const due = call<AppId[]>("ZRANGEBYSCORE", keyOf("due"), "-inf", present.now, "LIMIT", 0, 200);
  return { sizes: sizes as unknown as Sizes, recentMisses: recentMissesNow(), due };
}

/** Bytes that nodes have not read yet. A stream that `post` made for a `check` expires by itself. */
function streamBytes(): number {
  const streams = call<string[]>("HGETALL", keyOf("streams"));
  let sum = 0;
  for (let i = 0; i < streams.length; i += 2) {
    const node = streams[i] as string;
    if (node === "") continue;
    if (call<number>("EXISTS", keyOf(`node:${node}`)) === 1) {
      sum += Math.max(0, numberAt(streams[i + 1]));
    } else {
      call("HDEL", keyOf("streams"), node);
    }
  }
  return sum;
}

/** The kinds of calls. Each returns undefined when Redis is full and the call would add data. */
const calls = {
  turn: (appId: AppId, asked: string) => runTurn(appId, parse<Asked>(asked)),
  claim: runClaim,
  guess: runGuess,
  post: (node: string, messages: string) => post(node, parse<readonly Message[]>(messages)),
  renew: (read: string, bytes: string, cursor: string, fresh: string) =>
    renew(read, numberAt(bytes), cursor, numberAt(fresh)),
  leave,
  sweep: (read: string, bytes: string) => sweep(read, numberAt(bytes)),
};
export type CallKind = keyof typeof calls;
type Run = (this: void, ...rest: readonly string[]) => unknown;

/**
 * Answers a call with JSON; with `late` after its deadline; with `full` if Redis is full and the call would
 * add data. `late` and `full` change nothing. `args`: the deadline by Redis's clock, ms by which contract
 * tests move the clock, `Common` as JSON, the asking node, the kind of call, and its own arguments.
 */
export function called(isFull: boolean, args: readonly string[]): string {
  const [deadline = "", offset = "", common = "", node = "", kind = "", ...rest] = args;
  if (!begin(deadline, offset, common, node)) return "late";
  present.isFull = isFull;
  const run = calls[kind as CallKind] as Run;
  const reply = run(...rest);
  return reply === undefined ? "full" : json(reply);
}
