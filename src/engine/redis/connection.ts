import { RedisClient, type TLSOptions } from "bun";
import type { Cancel } from "../../base/clock.ts";
import { codeOf } from "../../base/errors.ts";
import { EngineUnreachable } from "../engine.ts";
import { RedisFault } from "./resp.ts";
import type { StoreOptions } from "./store.ts";

/** The part of Bun's Redis client that is used. The simulation replaces it by a model of Redis. */
export interface RedisLink {
  onclose: ((error: Error) => void) | null;
  connect(): Promise<unknown>;
  /** Rejects with Redis's error (see `isRefusal`), or when the connection is lost. */
  send(command: string, args: string[]): Promise<unknown>;
  close(): void;
}

export interface LinkOptions {
  readonly connectionTimeout: number;
  readonly tls?: TLSOptions;
}

export type MakeLink = (url: string, options: LinkOptions) => RedisLink;

const bunLink: MakeLink = (url, options) =>
  new RedisClient(url, { ...options, autoReconnect: false, enableOfflineQueue: false });

interface RedisConnectionOptions
  extends Pick<StoreOptions, "redis" | "timeoutMs" | "clock" | "random" | "makeLink" | "store"> {
  /** The URL of the server to connect to. Called before each attempt. */
  readonly find: () => Promise<string>;
  /** Whether it sends pings. The reader needs none: it always has a command under way, with a deadline. */
  readonly isWatched: boolean;
  readonly changed: (up: boolean) => void;
  /** An attempt to connect failed. `url` is undefined when no address was known. */
  readonly failed: (error: unknown, url: string | undefined) => void;
  /** The server's clock, ms, read before `answeredAt` of the monotonic clock. */
  readonly timeRead: (time: number, answeredAt: number) => void;
}

/** Bound on commands under way or waiting for a connection. Further ones are refused. */
const maxUnderWay = 20_000;
/** The same for the characters in them. */
const maxUnderWayChars = 134_217_728;
const minRetryMs = 50;
const maxRetryMs = 1_000;

/** Round trips to connect: TCP, TLS, and the greeting with the password. */
const connectTrips = 3;
/** Time for `serverBehind`, in round trips. */
const identifyTrips = 2;

/**
 * A connection to Redis that reconnects. Bun's client has no deadline for a command and does not notice
 * a server that hangs. So here each command has a deadline, an unanswered ping ends the connection, and
 * every connection is a new client.
 *
 *     down --connected, prepared-->  up
 *     up   --closed, ping unanswered--> down, retried after a delay
 */
export class RedisConnection {
  isUp = false;
  /** The URL of the server that it is connected or connecting to. */
  url: string | undefined;
  /** The last server, with its run and replication ids; see `serverBehind`. */
  server: string | undefined;
  private client: RedisLink | undefined;
  private closed = false;
  private tries = 0;
  private timer: Cancel | undefined;
  private underWay = 0;
  private underWayChars = 0;
  private waiting: (() => void)[] = [];
  /** Clients that stopped answering while commands were under way. Closed when those commands have failed. */
  private readonly silent = new Set<RedisLink>();
  private downSince: number;

  constructor(private readonly options: RedisConnectionOptions) {
    this.downSince = options.clock.monotonicMs();
  }

  /** Connects, and reconnects whenever the connection is lost. Resolves after the first attempt. */
  async open(): Promise<void> {
    const { find, redis, makeLink = bunLink, timeoutMs, random, changed, failed } = this.options;
    const { ca } = redis;
    let url: string;
    try {
      url = await find();
    } catch (error) {
      failed(error, undefined);
      return this.retry();
    }
    if (this.closed) return;
    const client = makeLink(url, {
      connectionTimeout: timeoutMs * connectTrips,
      ...(ca === undefined ? {} : { tls: { ca } satisfies TLSOptions }),
    });
    this.client = client;
    this.url = url;
    client.onclose = () => this.lost(client);
    try {
      await this.within(client.connect(), connectTrips);
      await this.ping(client);
      this.server = await this.within(serverBehind(client), identifyTrips);
    } catch (error) {
      failed(error, url);
      this.lost(client);
      return;
    }
    if (this.client !== client || this.closed) return client.close();
    this.tries = 0;
    this.isUp = true;
    if (this.options.isWatched)
      this.watch(client, timeoutMs / 4 + random(Math.ceil(timeoutMs / 4)));
    changed(true);
    for (const go of this.waiting.splice(0)) go();
  }

  close(): void {
    this.closed = true;
    this.timer?.();
    const { client } = this;
    if (client) this.lost(client);
    for (const other of this.silent) other.close();
  }

  /**
   * Sends a command, in order. Rejects with Redis's error, or with `EngineUnreachable` when no answer came
   * within `timeoutMs` plus `blockMs`; then the command may still be carried out.
   */
  async send(command: string, args: string[], blockMs = 0): Promise<unknown> {
    let chars = 0;
    for (const arg of args) chars += arg.length;
    if (this.underWay >= maxUnderWay || this.underWayChars + chars > maxUnderWayChars) {
      throw new EngineUnreachable("too much is under way");
    }
    this.underWay++;
    this.underWayChars += chars;
    try {
      const client = this.isUp && this.client ? this.client : await this.nextClient();
      const { clock, store } = this.options;
      const sentAt = clock.monotonicMs();
      const answer = await this.within(client.send(command, args), 1, blockMs);
      if (blockMs === 0) store?.took?.(clock.monotonicMs() - sentAt);
      return answer;
    } catch (error) {
      throw isRefusal(error) || error instanceof EngineUnreachable
        ? error
        : new EngineUnreachable("the connection was lost");
    } finally {
      this.underWay--;
      this.underWayChars -= chars;
    }
  }

  /** Closes the connection and reconnects. */
  drop(): void {
    if (this.client) this.lost(this.client);
  }

  /** Waits during a short outage. Rejects at once if it has been down for longer than `timeoutMs`. */
  private async nextClient(): Promise<RedisLink> {
    const { clock, timeoutMs } = this.options;
    if (this.closed || clock.monotonicMs() - this.downSince > timeoutMs) {
      throw new EngineUnreachable("there is no connection");
    }
    await this.within(new Promise<void>((go) => this.waiting.push(go)));
    if (this.client === undefined) throw new EngineUnreachable("there is no connection");
    return this.client;
  }

  /** Rejects with `EngineUnreachable` after `trips` × `timeoutMs` + `blockMs`. */
  within<T>(answer: Promise<T>, trips = 1, blockMs = 0): Promise<T> {
    const { clock, timeoutMs } = this.options;
    return new Promise((resolve, reject) => {
      const cancel = clock.after(timeoutMs * trips + blockMs, () =>
        reject(new EngineUnreachable("no answer came")),
      );
      answer.then(resolve, reject).finally(cancel);
    });
  }

  private async ping(client: RedisLink): Promise<void> {
    const { clock, timeRead } = this.options;
    const [seconds, micros] = (await this.within(client.send("TIME", []))) as [string, string];
    timeRead(Number(seconds) * 1000 + Math.floor(Number(micros) / 1000), clock.monotonicMs());
  }

  private watch(client: RedisLink, everyMs: number): void {
    this.timer = this.options.clock.after(everyMs, () => {
      if (this.client !== client) return;
      this.ping(client).then(
        () => this.client === client && this.watch(client, everyMs),
        () => this.lost(client, true),
      );
    });
  }

  private lost(client: RedisLink, fellSilent = false): void {
    if (this.client !== client) return;
    const { clock, changed } = this.options;
    this.client = undefined;
    this.url = undefined;
    client.onclose = null;
    if (fellSilent && this.underWay > 0) this.closeLater(client);
    else client.close();
    this.timer?.();
    if (this.isUp) {
      this.isUp = false;
      this.downSince = clock.monotonicMs();
      if (!this.closed) changed(false);
    }
    this.retry();
  }

  private retry(): void {
    if (this.closed) return;
    const { clock, random } = this.options;
    const delayMs = Math.min(maxRetryMs, minRetryMs * 2 ** this.tries++);
    this.timer = clock.after(delayMs / 2 + random(delayMs / 2), () => void this.open());
  }

  /**
   * A server that hangs may still carry out the commands it was sent. If the client was closed now, they
   * would fail before their deadline, as if they could no longer be carried out.
   */
  private closeLater(client: RedisLink): void {
    this.silent.add(client);
    this.options.clock.after(this.options.timeoutMs, () => {
      this.silent.delete(client);
      client.close();
    });
  }
}

/** Whether Redis answered with an error. */
export function isRefusal(error: unknown): error is Error {
  return codeOf(error) === "ERR_REDIS_SERVER_ERROR";
}

/**
 * Identifies the server and its data. After a restart, or when a replica becomes the primary, the ids change:
 * the data may be older than what nodes know. The ids are empty if the user may not call INFO.
 */
async function serverBehind(link: RedisLink): Promise<string> {
  const info = String(await link.send("INFO", ["server", "replication"]).catch(() => ""));
  const field = (name: string) => new RegExp(`^${name}:(\\w+)`, "m").exec(info)?.[1] ?? "";
  if (field("role") === "slave") {
    throw new RedisFault(
      "is a replica",
      "Redis is a read-only replica. It was the primary, or is about to become it.",
    );
  }
  return `${field("run_id")} ${field("master_replid")}`;
}
