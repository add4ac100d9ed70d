import type { RedisClient } from "bun";
import type { Cancel, Clock, Random } from "../../base/clock.ts";
import { EngineUnreachable } from "../engine.ts";
import { isRefusal, RedisConnection } from "./connection.ts";
import { diagnose, findPrimary, nameOf, type RedisTarget } from "./primary.ts";
import { RedisFault } from "./resp.ts";
import type { Script } from "./scripts/scripts.ts";

export interface StoreOptions {
  readonly redis: RedisTarget;
  /** How long Redis is given to answer, ms. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly store?: {
    /** Both connections are up and messages are heard; or no longer. */
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

/** Where scripts and other nodes publish to this process. */
interface Channel {
  readonly name: string;
  heard(message: string): void;
  changed(up: boolean): void;
}

export type Reply = readonly unknown[];

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

/** Redis is full: the script would have added to it, was refused, and changed nothing. */
export class StoreFull extends EngineUnreachable {}

/** How often sentinels are asked whether the primary is still the primary. */
const watchEveryMs = 1_000;

/**
 * Redis, as the engine uses it: scripts one way, and a channel of one's own the other way. It is up
 * when both connections are and an echo, a message to itself, has come back: then both are at one
 * primary. It sends an echo again and again, and one that does not come in time ends both connections.
 */
export class Store {
  private readonly commands: RedisConnection;
  private readonly subscriber: RedisConnection;
  private up = false;
  /** An echo has come back over the present connections. */
  private subscriberWorks = false;
  private downSince: number;
  /** The echo that has not come back yet. */
  private echo: { readonly text: string; readonly cancel: Cancel } | undefined;
  private echoes = 0;
  private echoTimer: Cancel | undefined;
  private fault: RedisFault | undefined;
  /** There was no space for what the last script that adds would have added. */
  private isFull = false;
  private diagnosing = false;
  private waiting: (() => void)[] = [];
  private readonly stopWatching: Cancel;
  private watching = false;
  /** Scripts whose text was sent over the present connection. */
  private readonly loaded = new Set<Script>();
  /** The least that Redis's clock can show when our monotonic clock is at 0; read with every ping. */
  private origin: number;

  constructor(
    private readonly options: StoreOptions,
    private readonly channel: Channel,
  ) {
    const { redis, timeoutMs, clock, random } = options;
    this.origin = clock.now() - clock.monotonicMs();
    this.downSince = clock.monotonicMs();
    const shared = {
      ...{ ca: redis.ca, timeoutMs, clock, random },
      took: options.store?.took ?? (() => {}),
      find: () => findPrimary(redis, timeoutMs),
      changed: () => this.connectionChanged(),
      failed: (error: unknown, url: string | undefined) => void this.attemptFailed(error, url),
    };
    this.commands = new RedisConnection({
      ...shared,
      timeRead: (time, answeredAt) => {
        this.origin = time - answeredAt;
      },
      prepare: isPrimary,
    });
    this.subscriber = new RedisConnection({
      ...shared,
      timeRead: () => {},
      async prepare(client) {
        await isPrimary(client);
        await client.subscribe(channel.name, (text) => heard(text));
      },
    });
    const heard = (message: string) => {
      if (message === this.echo?.text) this.echoHeard();
      else channel.heard(message);
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

  /** Undefined while it is up; else why not, for an operator, naming no host and nothing secret. */
  reasonDown(): string | undefined {
    if (this.up) return undefined;
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

  /** Resolves after the first try to connect. */
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
   * Runs a script. It changes nothing once the caller has stopped waiting for its answer.
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
      String(Math.round(offsetMs?.() ?? 0)),
      ...args,
    ];
    const reply = await this.evaluate(script, rest);
    if (!Array.isArray(reply)) throw new EngineUnreachable("it answered nonsense");
    if (reply[0] === "late") throw new EngineUnreachable("it was carried out too late");
    return reply;
  }

  /** Counts a refusal for lack of space, and answers the error to throw. */
  full(message: string): StoreFull {
    this.isFull = true;
    this.options.store?.refused?.("full", message);
    return new StoreFull(message);
  }

  async publish(channel: string, message: string): Promise<void> {
    await this.commands.send("PUBLISH", [channel, message]);
  }

  /** Writes a value for all nodes to see, and answers the one before. */
  async swap(key: string, value: string, ttlMs: number): Promise<string | undefined> {
    const before = await this.commands.send("SET", [key, value, "PX", String(ttlMs), "GET"]);
    return typeof before === "string" ? before : undefined;
  }

  /** Sends the script's text the first time; from then on the server finds it by its hash. */
  private async evaluate(script: Script, rest: string[]): Promise<unknown> {
    try {
      if (this.loaded.has(script))
        return this.ran(script, await this.commands.send("EVALSHA", [script.sha, ...rest]));
    } catch (error) {
      if (!isRefusal(error)) throw error;
      if (!error.message.startsWith("NOSCRIPT")) return this.refusal(error.message, script, rest);
    }
    this.loaded.add(script);
    try {
      return this.ran(script, await this.commands.send("EVAL", [script.text, ...rest]));
    } catch (error) {
      if (!isRefusal(error)) throw error;
      return this.refusal(error.message, script, rest);
    }
  }

  private ran({ adds }: Script, reply: unknown): unknown {
    if (adds) this.isFull = false;
    return reply;
  }

  private refusal(message: string, { whenFull }: Script, rest: string[]): Promise<unknown> {
    const word = message.slice(0, message.indexOf(" ")) as keyof typeof refusals;
    const kind = refusals[word] ?? "other";
    if (kind === "full" && whenFull) return this.evaluate(whenFull, rest);
    if (kind === "full") throw this.full(message);
    this.options.store?.refused?.(kind, message);
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
    this.subscriberWorks = false;
    this.echoOver();
    if (this.commands.isUp && this.subscriber.isUp) this.sendEcho();
    this.updateUp();
  }

  private updateUp(): void {
    const isUp = this.subscriberWorks && this.commands.isUp && this.subscriber.isUp;
    if (isUp === this.up) return;
    this.up = isUp;
    if (isUp) this.fault = undefined;
    else this.downSince = this.options.clock.monotonicMs();
    this.channel.changed(isUp);
    this.options.store?.changed?.(isUp);
    if (isUp) for (const go of this.waiting.splice(0)) go();
  }

  private sendEcho(): void {
    const { clock, timeoutMs } = this.options;
    const text = `echo ${++this.echoes}`;
    const cancel = clock.after(timeoutMs, () => this.echoMissing());
    this.echo = { text, cancel };
    // One that cannot be sent does not come back.
    this.publish(this.channel.name, text).catch(() => {});
  }

  private echoHeard(): void {
    this.echoOver();
    this.subscriberWorks = true;
    const { clock, timeoutMs } = this.options;
    this.echoTimer = clock.after(timeoutMs, () => this.sendEcho());
    this.updateUp();
  }

  private echoOver(): void {
    this.echo?.cancel();
    this.echo = undefined;
    this.echoTimer?.();
  }

  private echoMissing(): void {
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

  /** Leaves a primary that the sentinels no longer name: it may take writes that are lost. */
  private async followPrimary(): Promise<void> {
    if (this.watching) return;
    this.watching = true;
    try {
      const url = await findPrimary(this.options.redis, this.options.timeoutMs);
      for (const connection of [this.commands, this.subscriber]) {
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
    if (!this.up) this.failedBy(fault);
  }

  private failedBy(fault: RedisFault): void {
    const known = this.fault?.kind === fault.kind;
    this.fault = fault;
    if (!known) this.options.store?.failed?.(fault);
  }
}

/** A user that may not ask for the role learns it by the first refusal. */
async function isPrimary(client: RedisClient): Promise<void> {
  const role: unknown = await client.send("ROLE", []).catch(() => ["master"]);
  if (Array.isArray(role) && role[0] === "master") return;
  throw new RedisFault(
    "is a replica",
    "Redis is a read-only replica: it was a primary, or will be.",
  );
}

/** A number in a reply. Rejects nonsense: keys may hold what another program wrote. */
export function numberAt(reply: Reply, index: number): number {
  const value = Number(reply[index]);
  if (Number.isNaN(value)) throw new EngineUnreachable("it answered nonsense");
  return value;
}

export function textAt(reply: Reply, index: number): string {
  return String(reply[index] ?? "");
}
