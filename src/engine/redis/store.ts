import type { RedisClient } from "bun";
import type { Cancel, Clock, Random } from "../../base/clock.ts";
import { EngineUnreachable } from "../engine.ts";
import { isRefusal, RedisConnection } from "./connection.ts";
import { RedisFault } from "./fault.ts";
import { diagnose } from "./preflight.ts";
import { findPrimary, nameOf, type RedisTarget } from "./primary.ts";
import type { Script } from "./scripts/scripts.ts";

export interface StoreOptions {
  readonly redis: RedisTarget;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly random: Random;
  /** Where this process hears what the scripts have to say to it. */
  readonly channel: string;
  readonly heard: (message: string) => void;
  /** Both connections are up, and this process hears; or not. */
  readonly changed: (up: boolean) => void;
  /** Why there is no connection: told once a cause, until there is one. */
  readonly failed: (fault: RedisFault) => void;
  /** Redis answered, and said no; in its own words, which name keys and nothing that is secret. */
  readonly refused: (kind: Refused, message: string) => void;
  /** How long an answer took, ms. */
  readonly took: (ms: number) => void;
  /** Added to Redis's clock for everything that expires; only contract tests move it. */
  readonly offsetMs: () => number;
}

export type Reply = readonly unknown[];

/** What Redis says no with, by the first word of its answer. */
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

/** Redis is full: what would add to it was refused, and nothing was done. */
export class StoreFull extends EngineUnreachable {}

/** How often sentinels are asked whether the primary is still the primary. */
const watchEveryMs = 1_000;

/**
 * Redis, as the engine uses it: scripts one way, and a channel of one's own the other way. It is up
 * when both connections are and a message to itself has come back: then both are at one primary. It
 * says something to itself again and again, and what is not heard in time ends both connections.
 */
export class Store {
  private readonly commands: RedisConnection;
  private readonly subscriber: RedisConnection;
  private up = false;
  private hears = false;
  private downSince: number;
  /** The message to itself that has not come back yet. */
  private echo: { readonly text: string; readonly cancel: Cancel } | undefined;
  private echoes = 0;
  private echoTimer: Cancel | undefined;
  private fault: RedisFault | undefined;
  private diagnosing = false;
  private waiting: (() => void)[] = [];
  private readonly stopWatching: Cancel;
  private watching = false;
  /** Scripts that the server at the other end of this connection has been sent. */
  private readonly loaded = new Set<Script>();
  /** The least that Redis's clock can show at tick 0 of ours; told anew with every ping. */
  private origin: number;

  constructor(private readonly options: StoreOptions) {
    const { channel, redis, timeoutMs, clock, random, took } = options;
    this.origin = clock.now() - clock.monotonicMs();
    this.downSince = clock.monotonicMs();
    const shared = {
      ...{ ca: redis.ca, timeoutMs, clock, random, took },
      find: () => findPrimary(redis, timeoutMs),
      changed: () => this.connectionChanged(),
      failed: (error: unknown, url: string | undefined) => void this.attemptFailed(error, url),
    };
    this.commands = new RedisConnection({
      ...shared,
      told: (time, _, answeredAt) => {
        this.origin = time - answeredAt;
      },
      prepare: isPrimary,
    });
    this.subscriber = new RedisConnection({
      ...shared,
      told: () => {},
      async prepare(client) {
        await isPrimary(client);
        await client.subscribe(channel, (text) => heard(text));
      },
    });
    const heard = (message: string) => {
      if (message === this.echo?.text) this.echoHeard();
      else options.heard(message);
    };
    this.stopWatching =
      redis.sentinels === undefined
        ? () => {}
        : clock.every(watchEveryMs, () => void this.followPrimary());
  }

  get isUp(): boolean {
    return this.up;
  }

  /** Scripts can be run, though what is published may not be heard. */
  get canAsk(): boolean {
    return this.commands.isUp;
  }

  /** Undefined while it is up; else why not, in words for an operator that name nothing of theirs. */
  reasonDown(): string | undefined {
    if (this.up) return undefined;
    const seconds = Math.ceil((this.options.clock.monotonicMs() - this.downSince) / 1000);
    const why = this.fault === undefined ? "" : `: ${this.fault.kind}`;
    return `Redis has been unreachable for ${seconds} s${why}.`;
  }

  /** ms since the Unix epoch by Redis's clock, as last heard of. */
  now(): number {
    return Math.floor(this.origin + this.options.clock.monotonicMs());
  }

  /**
   * Resolves as soon as what is published to this process reaches it. A short outage is waited out;
   * in a long one it rejects at once.
   */
  async subscribed(): Promise<void> {
    if (this.up) return;
    const { clock, timeoutMs } = this.options;
    if (clock.monotonicMs() - this.downSince > timeoutMs) {
      throw new EngineUnreachable("there is no connection");
    }
    await new Promise<void>((resolve, reject) => {
      const cancel = clock.after(timeoutMs, () => {
        reject(new EngineUnreachable("there is no connection"));
      });
      this.waiting.push(() => {
        cancel();
        resolve();
      });
    });
  }

  /** Resolves when it was tried to connect. */
  async open(): Promise<void> {
    await Promise.all([this.commands.open(), this.subscriber.open()]);
    if (this.commands.isUp && this.subscriber.isUp) await this.subscribed().catch(() => {});
  }

  /** Resolves when everything asked so far is answered, or has waited long enough. */
  async settled(): Promise<void> {
    if (this.commands.isUp) await this.commands.send("PING", []).catch(() => {});
  }

  close(): void {
    this.stopWatching();
    this.echoOver();
    this.subscriber.close();
    this.commands.close();
  }

  /**
   * Runs a script. It changes nothing after the moment at which nobody waits for its answer any more.
   * Rejects with `EngineUnreachable` when no answer came, or none that makes sense, and with
   * `StoreFull` when there is no space for what it would add.
   */
  async run(script: Script, keys: readonly string[], args: readonly string[]): Promise<Reply> {
    const { clock, timeoutMs, offsetMs } = this.options;
    const deadline = Math.floor(this.origin + clock.monotonicMs() + timeoutMs);
    const rest = [
      String(keys.length),
      ...keys,
      String(deadline),
      String(Math.round(offsetMs())),
      ...args,
    ];
    const reply = await this.evaluate(script, rest);
    if (!Array.isArray(reply)) throw new EngineUnreachable("it answered nonsense");
    if (reply[0] === "late") throw new EngineUnreachable("it was carried out too late");
    return reply;
  }

  /** There is no space for what was asked for. */
  full(message: string): StoreFull {
    this.options.refused("full", message);
    return new StoreFull(message);
  }

  async tell(channel: string, message: string): Promise<void> {
    await this.commands.send("PUBLISH", [channel, message]);
  }

  /** What stands in Redis for all nodes to see: writes it and answers what stood there. */
  async swap(key: string, value: string, ttlMs: number): Promise<string | undefined> {
    const before = await this.commands.send("SET", [key, value, "PX", String(ttlMs), "GET"]);
    return typeof before === "string" ? before : undefined;
  }

  /** The text the first time: the server keeps it, and finds it by its hash from then on. */
  private async evaluate(script: Script, rest: string[]): Promise<unknown> {
    try {
      if (this.loaded.has(script))
        return await this.commands.send("EVALSHA", [script.sha, ...rest]);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      if (!error.message.startsWith("NOSCRIPT")) return this.refusal(error.message, script, rest);
    }
    this.loaded.add(script);
    try {
      return await this.commands.send("EVAL", [script.text, ...rest]);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      return this.refusal(error.message, script, rest);
    }
  }

  private refusal(message: string, { whenFull }: Script, rest: string[]): Promise<unknown> {
    const word = message.slice(0, message.indexOf(" ")) as keyof typeof refusals;
    const kind = refusals[word] ?? "other";
    if (kind === "full" && whenFull) return this.evaluate(whenFull, rest);
    if (kind === "full") throw this.full(message);
    this.options.refused(kind, message);
    // Under the same name there may be another primary by now.
    if (kind === "replica") this.reconnect();
    throw new EngineUnreachable(message);
  }

  private reconnect(): void {
    this.commands.drop();
    this.subscriber.drop();
  }

  private connectionChanged(): void {
    if (!this.commands.isUp) this.loaded.clear();
    this.hears = false;
    this.echoOver();
    if (this.commands.isUp && this.subscriber.isUp) this.speakToItself();
    this.tellChange();
  }

  private tellChange(): void {
    const isUp = this.hears && this.commands.isUp && this.subscriber.isUp;
    if (isUp === this.up) return;
    this.up = isUp;
    if (isUp) this.fault = undefined;
    else this.downSince = this.options.clock.monotonicMs();
    this.options.changed(isUp);
    if (isUp) for (const go of this.waiting.splice(0)) go();
  }

  private speakToItself(): void {
    const { channel, clock, timeoutMs } = this.options;
    const text = `echo ${++this.echoes}`;
    const cancel = clock.after(timeoutMs, () => this.deaf());
    this.echo = { text, cancel };
    // One that cannot be sent is not heard.
    this.tell(channel, text).catch(() => {});
  }

  private echoHeard(): void {
    this.echoOver();
    this.hears = true;
    const { clock, timeoutMs } = this.options;
    this.echoTimer = clock.after(timeoutMs, () => this.speakToItself());
    this.tellChange();
  }

  private echoOver(): void {
    this.echo?.cancel();
    this.echo = undefined;
    this.echoTimer?.();
  }

  private deaf(): void {
    const at = [this.commands.url, this.subscriber.url].map((url) => url && nameOf(url));
    this.failedBy(
      new RedisFault(
        "subscriber hears nothing",
        `What is published to Redis at ${at[0]} does not come from ${at[1]} within ` +
          `${this.options.timeoutMs} ms. Behind one name there may be several servers.`,
      ),
    );
    this.reconnect();
  }

  /** A primary that the sentinels name no more may take writes that are lost. */
  private async followPrimary(): Promise<void> {
    if (this.watching) return;
    this.watching = true;
    try {
      const url = await findPrimary(this.options.redis, this.options.timeoutMs);
      for (const link of [this.commands, this.subscriber]) {
        if (link.url === undefined || link.url === url) continue;
        const [old, now] = [nameOf(link.url), nameOf(url)];
        const said = `The sentinels name ${now} as primary, and ${old} no more.`;
        this.failedBy(new RedisFault("no longer primary", said));
        link.drop();
      }
    } catch {
      // While no sentinel answers, no failover is known of: the primary stays.
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
    if (!this.up) this.failedBy(fault);
  }

  private failedBy(fault: RedisFault): void {
    const known = this.fault?.kind === fault.kind;
    this.fault = fault;
    if (!known) this.options.failed(fault);
  }
}

/** Whoever may not ask for the role finds out by the first refusal. */
async function isPrimary(client: RedisClient): Promise<void> {
  const role: unknown = await client.send("ROLE", []).catch(() => ["master"]);
  if (Array.isArray(role) && role[0] === "master") return;
  throw new RedisFault(
    "is a replica",
    "Redis is a read-only replica: it was a primary, or will be.",
  );
}
