import type { Chance } from "../support/chance.ts";

/** An error reply of Redis. */
export class RedisRefusal extends Error {
  readonly code = "ERR_REDIS_SERVER_ERROR";
}

type StreamId = readonly [ms: number, seq: number];
class Stream {
  last: StreamId = [0, 0];
  entries: [id: StreamId, fields: readonly string[]][] = [];
}
/** Members with their scores. */
class Scores extends Map<string, number> {}
class Hash extends Map<string, string> {}
type Value = string | string[] | Set<string> | Scores | Hash | Stream;

interface Kept {
  readonly value: Value;
  /** ms by the server's clock. */
  expiresAt: number;
}

/** The reply of a command. `false` means nothing, as in Redis scripts. */
export type Reply = string | number | false | readonly Reply[];
type Command = (this: RedisData, ...args: string[]) => Reply;

/** Undoes a change in a copy of the data. */
type Undo = (keys: Map<string, Kept>) => void;

/** The data of one Redis, and the commands that the engine uses, as Redis 7 runs them. */
export class RedisData {
  private readonly keys = new Map<string, Kept>();
  /** How to undo the recent changes, oldest first. */
  private readonly journal: { readonly atMs: number; readonly undo: Undo }[] = [];
  private trimAt = 500;
  /** Keys of streams that got new entries. */
  readonly added = new Set<string>();

  constructor(
    /** This server's clock, ms since the epoch. */
    private readonly clock: () => number,
    private readonly draws: Chance,
    /** How many ms of changes are remembered, so that a failover can undo them; 0: none. */
    private readonly journalMs: () => number,
    /** A clock that is never set. */
    private readonly monotonicMs: () => number,
  ) {}

  /** Runs a command. Numbers in `args` are replaced by texts. */
  run(command: string, args: (string | number)[]): Reply {
    const carryOut = (commands as Readonly<Record<string, Command>>)[command];
    if (carryOut === undefined) throw new Error(`The model knows no ${command}`);
    for (let i = 0; i < args.length; i++) {
      if (typeof args[i] === "number") args[i] = String(args[i]);
    }
    return carryOut.apply(this, args as string[]);
  }

  /** The names of all keys, except collections whose only member has an empty name. */
  names(): string[] {
    return [...this.keys.keys()].filter((key) => {
      const value = this.find(key)?.value;
      if (value instanceof Set || value instanceof Map) return value.size > 1 || !value.has("");
      return value !== undefined;
    });
  }

  flush(): void {
    for (const key of [...this.keys.keys()]) this.remove(key);
  }

  /** The data as it was at `atMs`: that of a replica that lags. */
  asOf(atMs: number, clock: () => number): RedisData {
    const older = new RedisData(clock, this.draws, this.journalMs, this.monotonicMs);
    for (const [key, kept] of this.keys) older.keys.set(key, copy(kept));
    for (const { atMs: changedAt, undo } of [...this.journal].reverse()) {
      if (changedAt < atMs) break;
      undo(older.keys);
    }
    return older;
  }

  // ---- keys ----

  private find(key: string): Kept | undefined {
    const kept = this.keys.get(key);
    if (kept === undefined || kept.expiresAt > this.clock()) return kept;
    this.remove(key);
    return undefined;
  }

  private note(undo: Undo): void {
    const keepsMs = this.journalMs();
    if (keepsMs === 0) return;
    const atMs = this.monotonicMs();
    this.journal.push({ atMs, undo });
    if (this.journal.length < this.trimAt) return;
    const first = this.journal.findIndex((change) => change.atMs >= atMs - keepsMs);
    this.journal.splice(0, first === -1 ? this.journal.length : first);
    this.trimAt = 2 * this.journal.length + 500;
  }

  /** Remembers the value of a key that will be replaced or removed. */
  private noteKey(key: string): void {
    const before = this.keys.get(key);
    this.note((keys) => {
      if (before === undefined) keys.delete(key);
      else keys.set(key, copy(before));
    });
  }

  remove(key: string): boolean {
    if (!this.keys.has(key)) return false;
    this.noteKey(key);
    return this.keys.delete(key);
  }

  put(key: string, value: Value, ttlMs = Number.POSITIVE_INFINITY): void {
    this.noteKey(key);
    this.keys.set(key, { value, expiresAt: this.clock() + ttlMs });
  }

  ttl(key: string): number {
    const kept = this.find(key);
    if (kept === undefined) return -2;
    return Number.isFinite(kept.expiresAt) ? kept.expiresAt - this.clock() : -1;
  }

  expire(key: string, ttlMs: number): boolean {
    const kept = this.find(key);
    if (kept === undefined) return false;
    const before = kept.expiresAt;
    kept.expiresAt = this.clock() + ttlMs;
    // Expiries last a day, so it does not matter whether a failover forgets such a small change.
    if (Math.abs(kept.expiresAt - before) < 60_000) return true;
    this.note((keys) => {
      const then = keys.get(key);
      if (then !== undefined) then.expiresAt = before;
    });
    return true;
  }

  /** The value to read, or undefined. */
  read<T extends Value>(key: string, kind: abstract new (...args: never[]) => T): T | undefined {
    const value = this.find(key)?.value;
    if (value === undefined || value instanceof kind) return value as T | undefined;
    throw new RedisRefusal("WRONGTYPE Operation against a key holding the wrong kind of value");
  }

  private open<T extends Value>(key: string, kind: new () => T): T {
    const known = this.read(key, kind);
    if (known !== undefined) return known;
    const value = new kind();
    this.put(key, value);
    return value;
  }

  /** A list or stream to change, created if it does not exist. Redis keeps empty streams, but no empty lists. */
  change<T extends string[] | Stream>(key: string, kind: new () => T): T {
    const value = this.open(key, kind);
    const before = copyOf(value);
    this.note((keys) => {
      const then = keys.get(key);
      if (then !== undefined) keys.set(key, { value: copyOf(before), expiresAt: then.expiresAt });
    });
    return value;
  }

  /** Sets a member of a hash or a sorted set; undefined removes it. Returns its former value. */
  set<V extends string | number>(
    key: string,
    kind: new () => Map<string, V> & Value,
    member: string,
    to: V | undefined,
  ): V | undefined {
    const map = to === undefined ? this.read(key, kind) : this.open(key, kind);
    if (map === undefined) return undefined;
    const before = map.get(member);
    this.note((keys) => assign(keys.get(key)?.value as Map<string, V> | undefined, member, before));
    assign(map, member, to);
    if (map.size === 0) this.remove(key);
    return before;
  }

  /** Adds a member to a set, or removes it. Returns whether the set changed. */
  belong(key: string, member: string, isIn: boolean): boolean {
    const known = this.read<Set<string>>(key, Set);
    if ((known?.has(member) ?? false) === isIn) return false;
    const set = known ?? this.open<Set<string>>(key, Set);
    this.note((keys) => {
      const then = keys.get(key)?.value as Set<string> | undefined;
      if (isIn) then?.delete(member);
      else then?.add(member);
    });
    if (isIn) set.add(member);
    else set.delete(member);
    if (set.size === 0) this.remove(key);
    return true;
  }

  text(key: string): string | undefined {
    const value = this.find(key)?.value;
    if (value === undefined || typeof value === "string") return value;
    throw new RedisRefusal("WRONGTYPE Operation against a key holding the wrong kind of value");
  }

  now(): number {
    return this.clock();
  }

  pick<T>(from: T[], count: number): T[] {
    const left = [...from];
    const picked: T[] = [];
    while (picked.length < count && left.length > 0) {
      picked.push(...left.splice(this.draws.below(left.length), 1));
    }
    return picked;
  }

  /** Entries of a stream after `id`. */
  entriesAfter(key: string, id: string, count: number): [id: string, fields: readonly string[]][] {
    const stream = this.read(key, Stream);
    if (stream === undefined) return [];
    const after = streamId(id);
    return stream.entries
      .filter(([at]) => isBefore(after, at))
      .slice(0, count)
      .map(([at, fields]) => [idText(at), fields]);
  }
}

function assign<V>(map: Map<string, V> | undefined, member: string, to: V | undefined): void {
  if (to === undefined) map?.delete(member);
  else map?.set(member, to);
}

function copy({ value, expiresAt }: Kept): Kept {
  return { value: copyOf(value), expiresAt };
}

function copyOf(value: Value): Value {
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return [...value];
  if (value instanceof Stream) {
    return Object.assign(new Stream(), { last: value.last, entries: [...value.entries] });
  }
  if (value instanceof Scores) return new Scores(value);
  return value instanceof Hash ? new Hash(value) : new Set(value);
}

function streamId(text: string): StreamId {
  const [ms = 0, seq = 0] = text.split("-").map(Number);
  return [ms, seq];
}

function idText([ms, seq]: StreamId): string {
  return `${ms}-${seq}`;
}

function isBefore([ms, seq]: StreamId, [otherMs, otherSeq]: StreamId): boolean {
  return ms < otherMs || (ms === otherMs && seq < otherSeq);
}

/** Members by score, then by name. */
function sorted(all: [member: string, score: number][]): [member: string, score: number][] {
  return all.length < 2 ? all : all.sort(([a, x], [b, y]) => x - y || (a < b ? -1 : 1));
}

function bound(text: string): number {
  if (text === "-inf") return Number.NEGATIVE_INFINITY;
  return text === "+inf" ? Number.POSITIVE_INFINITY : Number(text);
}

/** Members between two scores, sorted by score. "(" excludes a bound. */
function between(scores: Scores | undefined, min: string, max: string): [string, number][] {
  const least = bound(min.replace("(", ""));
  const most = bound(max.replace("(", ""));
  const isIn = (score: number) =>
    (min.startsWith("(") ? score > least : score >= least) &&
    (max.startsWith("(") ? score < most : score <= most);
  return sorted([...(scores ?? [])].filter(([, score]) => isIn(score)));
}

/** The part of a list between two indexes, as in Redis. Negative indexes count from the end. */
function range<T>(list: readonly T[], first: string, last: string): T[] {
  const at = (index: string) => (Number(index) < 0 ? list.length + Number(index) : Number(index));
  return list.slice(Math.max(0, at(first)), at(last) + 1);
}

const commands = {
  TIME() {
    const ms = this.now();
    return [String(Math.floor(ms / 1_000)), String((ms % 1_000) * 1_000)];
  },
  PING: () => "PONG",
  GET(key) {
    return this.text(key) ?? false;
  },
  SET(key, value, ...options) {
    const before = options.includes("GET") ? (this.text(key) ?? false) : "OK";
    const leftMs = this.ttl(key);
    if (options.includes("NX") && leftMs !== -2) return false;
    const ttlMs = options[0] === "PX" ? Number(options[1]) : undefined;
    this.put(key, value, options.includes("KEEPTTL") && leftMs >= 0 ? leftMs : ttlMs);
    return before;
  },
  DEL(...keys) {
    return keys.filter((key) => this.remove(key)).length;
  },
  EXISTS(key) {
    return this.ttl(key) === -2 ? 0 : 1;
  },
  PEXPIRE(key, ms) {
    return this.expire(key, Number(ms)) ? 1 : 0;
  },
  PTTL(key) {
    return this.ttl(key);
  },

  HGET(key, field) {
    return this.read(key, Hash)?.get(field) ?? false;
  },
  HSET(key, field, value) {
    return this.set(key, Hash, field, value) === undefined ? 1 : 0;
  },
  HSETNX(key, field, value) {
    if (this.read(key, Hash)?.has(field)) return 0;
    return this.set(key, Hash, field, value) === undefined ? 1 : 0;
  },
  HDEL(key, field) {
    return this.set(key, Hash, field, undefined) === undefined ? 0 : 1;
  },
  HINCRBY(key, field, by) {
    const sum = Number(this.read(key, Hash)?.get(field) ?? 0) + Number(by);
    this.set(key, Hash, field, String(sum));
    return sum;
  },
  HMGET(key, ...names) {
    const hash = this.read(key, Hash);
    return names.map((name) => hash?.get(name) ?? false);
  },
  HGETALL(key) {
    return [...(this.read(key, Hash) ?? [])].flat();
  },

  LLEN(key) {
    return this.read<string[]>(key, Array)?.length ?? 0;
  },
  LRANGE(key, first, last) {
    return range(this.read<string[]>(key, Array) ?? [], first, last);
  },
  LTRIM(key, first, last) {
    const list = this.change<string[]>(key, Array);
    list.splice(0, list.length, ...range(list, first, last));
    if (list.length === 0) this.remove(key);
    return "OK";
  },
  RPUSH(key, item) {
    return this.change<string[]>(key, Array).push(item);
  },

  SADD(key, member) {
    return this.belong(key, member, true) ? 1 : 0;
  },
  SREM(key, member) {
    return this.belong(key, member, false) ? 1 : 0;
  },
  SCARD(key) {
    return this.read<Set<string>>(key, Set)?.size ?? 0;
  },
  SRANDMEMBER(key, count) {
    return this.pick([...(this.read<Set<string>>(key, Set) ?? [])], Number(count));
  },
  SSCAN(key) {
    return ["0", [...(this.read<Set<string>>(key, Set) ?? [])]];
  },

  ZADD(key, score, member) {
    return this.set(key, Scores, member, bound(score)) === undefined ? 1 : 0;
  },
  ZREM(key, member) {
    return this.set(key, Scores, member, undefined) === undefined ? 0 : 1;
  },
  ZCARD(key) {
    return this.read(key, Scores)?.size ?? 0;
  },
  ZSCORE(key, member) {
    const score = this.read(key, Scores)?.get(member);
    return score === undefined ? false : String(score);
  },
  ZRANGE(key, first, last, ...options) {
    const found = range(sorted([...(this.read(key, Scores) ?? [])]), first, last);
    const withScores = options.includes("WITHSCORES");
    return found.flatMap(([member, score]) => (withScores ? [member, String(score)] : [member]));
  },
  ZCOUNT(key, min, max) {
    return between(this.read(key, Scores), min, max).length;
  },
  ZRANGEBYSCORE(key, min, max, ...options) {
    const [from = 0, count = 0] = options.slice(options.indexOf("LIMIT") + 1).map(Number);
    const found = between(this.read(key, Scores), min, max).slice(from, from + count);
    const withScores = options.includes("WITHSCORES");
    return found.flatMap(([member, score]) => (withScores ? [member, String(score)] : [member]));
  },
  ZREMRANGEBYSCORE(key, min, max) {
    const over = between(this.read(key, Scores), min, max);
    for (const [member] of over) this.set(key, Scores, member, undefined);
    return over.length;
  },

  XADD(key, ...args) {
    const isNew = this.read(key, Stream) === undefined;
    if (args[0] === "NOMKSTREAM") {
      if (isNew) return false;
      args.shift();
    }
    const keepsNone = args[0] === "MAXLEN";
    if (keepsNone) args.splice(0, 2);
    const [id = "*", ...fields] = args;
    const stream = this.change(key, Stream);
    const { last } = stream;
    const ms = Math.max(this.now(), last[0]);
    const next: StreamId = id === "*" ? [ms, ms === last[0] ? last[1] + 1 : 0] : streamId(id);
    if (!isBefore(last, next)) {
      const problem = "is equal or smaller than the target stream top item";
      throw new RedisRefusal(`ERR The ID specified in XADD ${problem}`);
    }
    stream.last = next;
    if (keepsNone) stream.entries = [];
    else stream.entries.push([next, fields]);
    this.added.add(key);
    return idText(next);
  },
  XTRIM(key, how, value) {
    const known = this.read(key, Stream);
    if (known === undefined) return 0;
    const stream = this.change(key, Stream);
    const before = stream.entries.length;
    const least = streamId(value);
    stream.entries = how === "MINID" ? stream.entries.filter(([id]) => !isBefore(id, least)) : [];
    return before - stream.entries.length;
  },
  XLEN(key) {
    return this.read(key, Stream)?.entries.length ?? 0;
  },
  XSETID(key, id) {
    this.change(key, Stream).last = streamId(id);
    return "OK";
  },
  XINFO(_, key) {
    const { last } = this.read(key, Stream) ?? new Stream();
    return ["last-generated-id", idText(last)];
  },
} satisfies Record<string, Command>;
