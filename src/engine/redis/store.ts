import type { Cancel, Clock, Random } from "../../base/clock.ts";
import { EngineFull, EngineUnreachable } from "../engine.ts";
import { isRefusal, type MakeLink, RedisConnection } from "./connection.ts";
import type { CallKind } from "./inside/inside.ts";
import { libraryFamily, libraryName, loadArguments } from "./library.ts";
import { diagnose, findPrimary, nameOf, type RedisTarget, refusedFunctions } from "./primary.ts";
import type { RedisNode } from "./redis.ts";
import { RedisFault } from "./resp.ts";

export interface StoreOptions {
  readonly redis: RedisTarget;
  /** How long Redis has to answer, ms. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly random: Random;
  /** Bun's client by default. */
  readonly makeLink?: MakeLink;
  /** Finds the primary. By default it asks the sentinels. */
  readonly findPrimary?: typeof findPrimary;
  readonly store?: {
    /** `up`: Redis answers calls, and events of other nodes are read. */
    readonly changed?: (up: boolean) => void;
    /** Why connecting failed. Reported again only for another cause, or after a success. */
    readonly failed?: (fault: RedisFault) => void;
    /** Redis refused a command. Its message may name keys, but contains no secrets. */
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

/** An entry of a stream. `fields`: names and values in turn. */
type Entry = readonly [id: string, fields: readonly string[]];

/** How long a node waits before it tries again to join, after Redis refused it. */
const rejoinMs = 200;
/** Libraries of other builds are deleted once there are this many. */
const mostOldLibraries = 4;
/** How often the sentinels are asked for the primary. */
const watchEveryMs = 1_000;
/** How long a redeem waits for a replica to confirm it. */
const replicaMs = 500;
/** For how long no redeem waits, after no replica confirmed one. */
const withoutReplicaMs = 10_000;

/**
 * Redis, as the engine uses it. One connection calls functions; another blocks on the node's stream. The
 * store is up when both are connected to the same server and `joined` has resolved. With sentinels, a third
 * connection waits for replicas.
 */
export class Store {
  private readonly commands: RedisConnection;
  private readonly reader: RedisConnection;
  private readonly careful: RedisConnection | undefined;
  private readonly all: readonly RedisConnection[];
  /** Settings that all nodes share, as JSON. Sent with each call. */
  private readonly common: string;
  isUp = false;
  /** The server (see `RedisConnection.server`) when the store was last up. */
  private lastServer: string | undefined;
  private closed = false;
  private downSince: number;
  private fault: RedisFault | undefined;
  /** Redis refused the last call that would have added data. */
  private isFull = false;
  private joins = 0;
  private diagnosing = false;
  private loading: Promise<unknown> | undefined;
  private waiting: (() => void)[] = [];
  private readonly stopWatching: Cancel;
  private watching = false;
  private noReplicaUntil = Number.NEGATIVE_INFINITY;
  /** A lower bound of Redis's clock at the time when our monotonic clock was 0. Updated with every ping. */
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

  /** Undefined while it is up; otherwise the reason, for an operator. Names no host and no secret. */
  reasonDown(): string | undefined {
    if (this.isUp) return undefined;
    const seconds = Math.ceil((this.options.clock.monotonicMs() - this.downSince) / 1000);
    const why = this.fault === undefined ? "" : `: ${this.fault.kind}`;
    return `Redis has been unreachable for ${seconds} s${why}.`;
  }

  /** What Redis refuses while it is up, for an operator; undefined: nothing. */
  warning(): string | undefined {
    return this.isFull ? "Redis is full: new codes, new rooms and mail are refused." : undefined;
  }

  /** ms since the Unix epoch by Redis's clock, estimated from the last ping. */
  now(): number {
    return Math.floor(this.origin + this.options.clock.monotonicMs());
  }

  /** Like `now()`, but never goes back: the latest clock of any Redis this node was connected to. */
  latest(): number {
    return this.latestOrigin + this.options.clock.monotonicMs();
  }

  /**
   * Resolves as soon as the store is up. Waits during a short outage; rejects at once if it has been down
   * for longer than `timeoutMs`.
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
   * Calls a function. After its deadline the function changes nothing. Rejects with `EngineUnreachable`
   * when no answer came, and with `EngineFull` when Redis has no space for the new data.
   */
  async call(kind: CallKind, rest: readonly string[], connection = this.commands): Promise<string> {
    const { clock, timeoutMs, offsetMs } = this.options;
    const deadline = Math.floor(this.origin + clock.monotonicMs() + timeoutMs);
    const offset = Math.round(offsetMs?.() ?? 0);
    const head = ["0", String(deadline), String(offset), this.common, this.user.node, kind];
    const answer = await this.run(connection, libraryName, [...head, ...rest]);
    if (typeof answer !== "string") throw new EngineUnreachable("it answered nonsense");
    if (answer === "late") throw new EngineUnreachable("it was carried out too late");
    return answer;
  }

  /**
   * Like `call`, and then waits until a replica (if any) has the change. `isWritten` decides from the
   * answer whether anything was written.
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

  /** Waits for entries after `id`. Resolves with an empty list after half of `timeoutMs`. */
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

  /** Writes a value that all nodes can read, and returns the previous one. */
  async swap(key: string, value: string, ttlMs: number): Promise<string | undefined> {
    const before = await this.commands.send("SET", [key, value, "PX", String(ttlMs), "GET"]);
    return typeof before === "string" ? before : undefined;
  }

  /** A full Redis refuses the function. Its twin `…_full` then makes the changes that add no data. */
  private async run(
    connection: RedisConnection,
    name: string,
    args: readonly string[],
    isLoaded = false,
  ): Promise<unknown> {
    try {
      const answer = await connection.send("FCALL", [name, ...args]);
      if (name === libraryName) this.isFull = false;
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
      if (message.startsWith("OOM") && name === libraryName) {
        return this.run(connection, `${name}_full`, args, isLoaded);
      }
      throw this.refused(message);
    }
  }

  private async load(connection: RedisConnection): Promise<void> {
    this.loading ??= connection
      .send("FUNCTION", [...loadArguments])
      .catch((error: unknown) => {
        throw isRefusal(error) ? this.refused(error.message) : error;
      })
      .finally(() => {
        this.loading = undefined;
      });
    await this.loading;
    void this.dropOldLibraries(connection).catch(() => {});
  }

  /** Deletes the libraries of other builds. A node that still needs one loads it again. */
  private async dropOldLibraries(connection: RedisConnection): Promise<void> {
    const text = JSON.stringify(
      await connection.send("FUNCTION", ["LIST", "LIBRARYNAME", `${libraryFamily}*`]),
    );
    const names = new Set(text.match(new RegExp(`${libraryFamily}[0-9a-f]+`, "g")));
    names.delete(libraryName);
    if (names.size < mostOldLibraries) return;
    for (const name of names) await connection.send("FUNCTION", ["DELETE", name]);
  }

  /** Not `EngineFull`: also what adds nothing is refused, as while the library cannot be loaded. */
  private refused(message: string): EngineUnreachable {
    const word = message.slice(0, message.indexOf(" ")) as keyof typeof refusals;
    const kind = refusals[word] ?? "other";
    this.options.store?.refused?.(kind, message);
    // The host name may point to a new primary by now.
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

  /** Makes the node known once both are connected. Then the store is up. */
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
      // After a lost connection, the next one joins.
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

  /** Disconnects from a primary that the sentinels no longer name: its writes may be lost. */
  private async followPrimary(): Promise<void> {
    if (this.watching) return;
    this.watching = true;
    try {
      const url = await this.findPrimary();
      for (const connection of this.all) {
        if (connection.url === undefined || connection.url === url) continue;
        const [old, now] = [nameOf(connection.url), nameOf(url)];
        const said = `The sentinels now name ${now} as primary, no longer ${old}.`;
        this.failedBy(new RedisFault("no longer primary", said));
        connection.drop();
      }
    } catch {
      // If no sentinel answers, the primary stays.
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
      const said = `Redis at ${name} did not answer within ${timeoutMs} ms. Check it, or raise REDIS_TIMEOUT.`;
      return this.failedBy(new RedisFault("gives no answer", said));
    }
    // Bun's client only reports that the connection was closed. `diagnose` finds out why.
    this.diagnosing = true;
    const closed = new RedisFault(
      "closes the connection",
      `Redis at ${name} closes the connection.`,
    );
    // Undefined: it can be used by now. A cause that is known stays until the next attempt.
    const fault = (await diagnose(url, redis, timeoutMs)) ?? this.fault ?? closed;
    this.diagnosing = false;
    if (!this.isUp) this.failedBy(fault);
  }

  private failedBy(fault: RedisFault): void {
    const known = this.fault?.kind === fault.kind;
    this.fault = fault;
    if (!known) this.options.store?.failed?.(fault);
  }
}
