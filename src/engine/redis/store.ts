import type { Cancel, Clock, Random } from "../../base/clock.ts";
import { EngineFull, EngineUnreachable } from "../engine.ts";
import { isRefusal, type MakeLink, RedisConnection } from "./connection.ts";
import type { CallKind } from "./inside/inside.ts";
import { library, libraryFamily } from "./library.ts";
import { diagnose, findPrimary, nameOf, type RedisTarget, refusedFunctions } from "./primary.ts";
import type { RedisNode } from "./redis.ts";
import { RedisFault } from "./resp.ts";

export interface StoreOptions {
  readonly redis: RedisTarget;
  /** How long Redis is given to answer, ms. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly random: Random;
  /** Bun's client by default. */
  readonly makeLink?: MakeLink;
  /** Where the primary is: the sentinels are asked by default. */
  readonly findPrimary?: typeof findPrimary;
  readonly store?: {
    /** Redis can be asked, and other nodes are heard; or no longer. */
    readonly changed?: (up: boolean) => void;
    /** Why there is no connection: once a cause, until there is one. */
    readonly failed?: (fault: RedisFault) => void;
    /** Redis refused, with its own words, which name keys and nothing that is secret. */
    readonly refused?: (kind: Refused, message: string) => void;
    /** How long an answer took, ms. */
    readonly took?: (ms: number) => void;
  };
  /** ms added to Redis's clock for everything that expires. Only contract tests set it. */
  readonly offsetMs?: () => number;
}

/** Refusals by the first word of Redis's answer. */
const refusals = {
  OOM: "full",
  READONLY: "replica",
  NOREPLICAS: "no_replicas",
  MISCONF: "disk",
  LOADING: "loading",
  BUSY: "busy",
  NOPERM: "not_permitted",
} as const;
export type Refused = (typeof refusals)[keyof typeof refusals] | "other";

/** An entry of a stream: its id, then names and values. */
type Entry = readonly [id: string, fields: readonly string[]];

/** How long a node that was refused waits before it tries again to make itself known. */
const rejoinMs = 200;
/** Libraries of other builds that are left alone. */
const mostOldLibraries = 4;
/** How often sentinels are asked whether the primary is still the primary. */
const watchEveryMs = 1_000;
/** How long a redeemed code waits for a replica, and for how long no more once one did not answer. */
const replicaMs = 500;
const withoutReplicaMs = 10_000;

/**
 * Redis, as the engine uses it: functions that are called over one connection, and a stream that is read
 * over another, which waits for what comes. It is up when both are connected to one server and `joined`
 * has resolved. Where sentinels watch, a third connection waits for replicas.
 */
export class Store {
  private readonly commands: RedisConnection;
  private readonly reader: RedisConnection;
  private readonly careful: RedisConnection | undefined;
  private readonly all: readonly RedisConnection[];
  /** What all nodes have in common: sent with each call. */
  private readonly common: string;
  isUp = false;
  /** Who answered when it was up last. */
  private lastServer: string | undefined;
  private closed = false;
  private downSince: number;
  private fault: RedisFault | undefined;
  /** There was no space for what the last call that adds would have added. */
  private isFull = false;
  private joins = 0;
  private diagnosing = false;
  private loading: Promise<unknown> | undefined;
  private waiting: (() => void)[] = [];
  private readonly stopWatching: Cancel;
  private watching = false;
  private noReplicaUntil = Number.NEGATIVE_INFINITY;
  /** The least that Redis's clock can show when our monotonic clock is at 0; read with every ping. */
  private origin: number;
  private latestOrigin = 0;

  constructor(
    private readonly options: StoreOptions,
    common: object,
    private readonly user: RedisNode,
  ) {
    const { redis, clock } = options;
    this.common = JSON.stringify(common);
    this.origin = clock.now() - clock.monotonicMs();
    this.downSince = clock.monotonicMs();
    this.commands = this.connection(true);
    this.reader = this.connection(false);
    this.careful = redis.sentinels && this.connection(true);
    this.all = [this.commands, this.reader, ...(this.careful ? [this.careful] : [])];
    this.stopWatching =
      redis.sentinels === undefined
        ? () => {}
        : clock.every(watchEveryMs, () => void this.followPrimary());
  }

  private connection(isWatched: boolean): RedisConnection {
    const connection: RedisConnection = new RedisConnection({
      ...this.options,
      isWatched,
      find: () => this.findPrimary(),
      changed: () => connection !== this.careful && this.connectionChanged(),
      failed: (error, url) => void this.attemptFailed(error, url),
      timeRead: (time, answeredAt) => {
        this.origin = time - answeredAt;
        this.latestOrigin = Math.max(this.latestOrigin, this.origin);
      },
    });
    return connection;
  }

  private findPrimary(): Promise<string> {
    const { findPrimary: find = findPrimary, redis, timeoutMs } = this.options;
    return find(redis, timeoutMs);
  }

  /** Undefined while it is up; else why not, for an operator, naming no host and nothing secret. */
  reasonDown(): string | undefined {
    if (this.isUp) return undefined;
    const seconds = Math.ceil((this.options.clock.monotonicMs() - this.downSince) / 1000);
    const why = this.fault === undefined ? "" : `: ${this.fault.kind}`;
    return `Redis has been unreachable for ${seconds} s${why}.`;
  }

  /** What is refused while it is up, likewise. */
  warning(): string | undefined {
    return this.isFull ? "Redis is full: new codes, new rooms and mail are refused." : undefined;
  }

  /** ms since the Unix epoch by Redis's clock, as last read. */
  now(): number {
    return Math.floor(this.origin + this.options.clock.monotonicMs());
  }

  /** The latest such time of any Redis this node was connected to: it never goes back. */
  latest(): number {
    return this.latestOrigin + this.options.clock.monotonicMs();
  }

  /**
   * Resolves as soon as this node hears what others tell it. A short outage is waited out; in a long one
   * it rejects at once.
   */
  async whenUp(): Promise<void> {
    if (this.isUp) return;
    const { clock, timeoutMs } = this.options;
    if (clock.monotonicMs() - this.downSince > timeoutMs) {
      throw new EngineUnreachable("there is no connection");
    }
    await this.commands.within(new Promise<void>((go) => this.waiting.push(go)));
  }

  /** Resolves after the first try to connect. */
  async open(): Promise<void> {
    await Promise.all(this.all.map((connection) => connection.open()));
    if (this.commands.isUp && this.reader.isUp) await this.whenUp().catch(() => {});
  }

  close(): void {
    this.closed = true;
    this.stopWatching();
    for (const connection of this.all) connection.close();
  }

  /**
   * Calls a function. It changes nothing once the caller has stopped waiting for its answer. Rejects with
   * `EngineUnreachable` when no answer came, and with `EngineFull` when there is no space for what it would
   * add.
   */
  async call(kind: CallKind, rest: readonly string[], connection = this.commands): Promise<string> {
    const { clock, timeoutMs, offsetMs } = this.options;
    const deadline = Math.floor(this.origin + clock.monotonicMs() + timeoutMs);
    const offset = Math.round(offsetMs?.() ?? 0);
    const head = ["0", String(deadline), String(offset), this.common, this.user.node, kind];
    const answer = await this.run(connection, library.name, [...head, ...rest]);
    if (typeof answer !== "string") throw new EngineUnreachable("it answered nonsense");
    if (answer === "late") throw new EngineUnreachable("it was carried out too late");
    return answer;
  }

  /**
   * As `call`, then waits until a replica, if there are any, has what was written. `isWritten` tells from
   * the answer whether anything was.
   */
  async callCarefully(
    kind: CallKind,
    args: readonly string[],
    isWritten: (answer: string) => boolean,
  ): Promise<string> {
    const { careful } = this;
    if (!careful?.isUp) return this.call(kind, args);
    const answer = await this.call(kind, args, careful);
    const { monotonicMs } = this.options.clock;
    if (!isWritten(answer) || monotonicMs() < this.noReplicaUntil) return answer;
    const replicas = await careful.send("WAIT", ["1", String(replicaMs)], replicaMs).catch(() => 0);
    if (Number(replicas) === 0) this.noReplicaUntil = monotonicMs() + withoutReplicaMs;
    return answer;
  }

  /** Entries after `id`, as soon as there are some; an empty list after half of `timeoutMs`. */
  async read(stream: string, id: string, count: number): Promise<readonly Entry[]> {
    const blockMs = Math.ceil(this.options.timeoutMs / 2);
    const args = ["COUNT", String(count), "BLOCK", String(blockMs), "STREAMS", stream, id];
    try {
      const found = await this.reader.send("XREAD", args, blockMs);
      return (found as Record<string, readonly Entry[]> | null)?.[stream] ?? [];
    } catch (error) {
      if (isRefusal(error)) this.refused(error.message);
      this.reader.drop();
      throw error;
    }
  }

  /** Writes a value for all nodes to see, and answers the one before. */
  async swap(key: string, value: string, ttlMs: number): Promise<string | undefined> {
    const before = await this.commands.send("SET", [key, value, "PX", String(ttlMs), "GET"]);
    return typeof before === "string" ? before : undefined;
  }

  /** A Redis that is full refuses the function; its twin is carried out where it adds nothing. */
  private async run(
    connection: RedisConnection,
    name: string,
    args: readonly string[],
    isLoaded = false,
  ): Promise<unknown> {
    try {
      const answer = await connection.send("FCALL", [name, ...args]);
      if (name === library.name) this.isFull = false;
      else if (answer === "full") {
        this.isFull = true;
        throw new EngineFull(this.refused("OOM there is no space for what this would add").message);
      }
      return answer;
    } catch (error) {
      if (!isRefusal(error)) throw error;
      const { message } = error;
      if (message.includes("Function not found") && !isLoaded) {
        await this.load(connection);
        return this.run(connection, name, args, true);
      }
      if (message.startsWith("OOM") && name === library.name) {
        return this.run(connection, `${name}_full`, args, isLoaded);
      }
      throw this.refused(message);
    }
  }

  private async load(connection: RedisConnection): Promise<void> {
    this.loading ??= connection
      .send("FUNCTION", [...library.load])
      .catch((error: unknown) => {
        throw isRefusal(error) ? this.refused(error.message) : error;
      })
      .finally(() => {
        this.loading = undefined;
      });
    await this.loading;
    void this.dropOldLibraries(connection).catch(() => {});
  }

  /** Where many builds have left theirs. One that is still in use is loaded again. */
  private async dropOldLibraries(connection: RedisConnection): Promise<void> {
    const text = JSON.stringify(
      await connection.send("FUNCTION", ["LIST", "LIBRARYNAME", `${libraryFamily}*`]),
    );
    const names = new Set(text.match(new RegExp(`${libraryFamily}[0-9a-f]+`, "g")));
    names.delete(library.name);
    if (names.size < mostOldLibraries) return;
    for (const name of names) await connection.send("FUNCTION", ["DELETE", name]);
  }

  /** Not `EngineFull`: also what adds nothing is refused, as while the library cannot be loaded. */
  private refused(message: string): EngineUnreachable {
    const word = message.slice(0, message.indexOf(" ")) as keyof typeof refusals;
    const kind = refusals[word] ?? "other";
    this.options.store?.refused?.(kind, message);
    // Under the same name there may be another primary by now.
    if (kind === "replica") this.reconnect();
    return new EngineUnreachable(message);
  }

  private reconnect(): void {
    for (const connection of this.all) connection.drop();
  }

  private connectionChanged(): void {
    this.joins++;
    this.updateUp(false);
    if (this.commands.isUp && this.reader.isUp) void this.join(this.joins);
  }

  /** Both are connected. The node is up when it is known at the server that both are connected to. */
  private async join(join: number): Promise<void> {
    const { server } = this.commands;
    if (server !== this.reader.server) {
      const said = "Redis answers from two servers, or as two, behind one name.";
      this.failedBy(new RedisFault("several servers", said));
      return this.reconnect();
    }
    try {
      await this.user.joined(this.lastServer !== undefined && server !== this.lastServer);
    } catch (error) {
      // A connection that is lost comes again, and joins again.
      if (join !== this.joins || this.closed) return;
      const { message } = error as Error;
      this.failedBy(refusedFunctions(message) ?? new RedisFault("gives no answer", message));
      this.options.clock.after(rejoinMs, () => join === this.joins && void this.join(join));
      return;
    }
    if (join !== this.joins) return;
    this.lastServer = server;
    this.updateUp(true);
  }

  private updateUp(isUp: boolean): void {
    if (isUp === this.isUp) return;
    this.isUp = isUp;
    if (isUp) this.fault = undefined;
    else this.downSince = this.options.clock.monotonicMs();
    this.user.changed(isUp);
    this.options.store?.changed?.(isUp);
    if (isUp) for (const go of this.waiting.splice(0)) go();
  }

  /** Leaves a primary that the sentinels no longer name: it may take writes that are lost. */
  private async followPrimary(): Promise<void> {
    if (this.watching) return;
    this.watching = true;
    try {
      const url = await this.findPrimary();
      for (const connection of this.all) {
        if (connection.url === undefined || connection.url === url) continue;
        const [old, now] = [nameOf(connection.url), nameOf(url)];
        const said = `The sentinels name ${now} as primary, and ${old} no more.`;
        this.failedBy(new RedisFault("no longer primary", said));
        connection.drop();
      }
    } catch {
      // While no sentinel answers, the primary stays.
    } finally {
      this.watching = false;
    }
  }

  private async attemptFailed(error: unknown, url: string | undefined): Promise<void> {
    if (error instanceof RedisFault) return this.failedBy(error);
    if (url === undefined || this.diagnosing) return;
    const { redis, timeoutMs } = this.options;
    const name = nameOf(url);
    if (error instanceof EngineUnreachable) {
      const said = `Redis at ${name} gives no answer within ${timeoutMs} ms. Look after it, or raise REDIS_TIMEOUT.`;
      return this.failedBy(new RedisFault("gives no answer", said));
    }
    // The client says no more than that the connection was closed.
    this.diagnosing = true;
    const closed = new RedisFault(
      "closes the connection",
      `Redis at ${name} closes the connection.`,
    );
    const fault = (await diagnose(url, redis, timeoutMs)) ?? closed;
    this.diagnosing = false;
    if (!this.isUp) this.failedBy(fault);
  }

  private failedBy(fault: RedisFault): void {
    const known = this.fault?.kind === fault.kind;
    this.fault = fault;
    if (!known) this.options.store?.failed?.(fault);
  }
}
