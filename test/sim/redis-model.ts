import type { LinkOptions, MakeLink, RedisLink } from "../../src/engine/redis/connection.ts";
import { RedisFault } from "../../src/engine/redis/resp.ts";
import type { Chance } from "../support/chance.ts";
import { called, redis } from "./inside.ts";
import { RedisData, RedisRefusal, type Reply } from "./redis-data.ts";

/** The clock of a model: simulated or real time. */
export interface ModelTime {
  /** ms since the epoch, by a clock that is never set. */
  now(): number;
  after(ms: number, run: () => void): () => void;
  /** Returns an `after` for the process that calls this. While that process is stopped, its answers wait. */
  forCaller(): (ms: number, run: () => void) => void;
}

/** The network between a node and its Redis. */
export interface Wire {
  /** How long a message takes one way, ms. */
  latency(): number;
  /** ms since the epoch until which nothing gets through in this direction. */
  blockedUntil(direction: "to" | "from"): number;
}

/** One Redis: a process with its data. */
export class RedisServer {
  isUp = true;
  role: "master" | "slave" = "master";
  /** Refuses commands that may need memory. */
  isFull = false;
  /** Stopped, as by SIGSTOP, until then. Commands wait and are carried out afterwards. */
  stoppedUntil = 0;
  clockOffset = 0;
  readonly links = new Set<ModelLink>();
  readonly runId: string;
  data: RedisData;
  private hasLibrary = false;
  private waiting: (() => boolean)[] = [];

  constructor(
    readonly url: string,
    readonly time: ModelTime,
    private readonly draws: Chance,
    journalMs: () => number,
    private readonly replicasAnswer: () => boolean,
    from?: { readonly data: RedisData; readonly atMs: number },
  ) {
    this.runId = draws.bytes(20).toString("hex");
    const clock = () => Math.floor(time.now() + this.clockOffset);
    const fresh = new RedisData(clock, draws, journalMs, time.now);
    this.data = from?.data.asOf(from.atMs, clock) ?? fresh;
    this.hasLibrary = from !== undefined;
  }

  /** Carries a command out. Throws Redis's error replies. */
  carryOut(command: string, args: string[], answer: (reply: Reply | null) => void): void {
    switch (command) {
      case "INFO": {
        const info = `run_id:${this.runId}\nrole:${this.role}\nmaster_replid:${this.runId}\n`;
        return answer(info);
      }
      case "FUNCTION":
        return this.aboutFunctions(args, answer);
      case "WAIT":
        return void this.time.after(this.draws.below(30), () =>
          answer(this.replicasAnswer() ? 1 : 0),
        );
      case "XREAD":
        return this.read(args, answer);
      case "FCALL":
        answer(this.call(args));
        return this.wake();
      default:
        if (command === "SET") this.mustWrite(true);
        return answer(this.data.run(command, args));
    }
  }

  private mustWrite(mayAdd: boolean): void {
    if (this.role === "slave") {
      throw new RedisRefusal("READONLY You can't write against a read only replica.");
    }
    if (this.isFull && mayAdd) {
      throw new RedisRefusal("OOM command not allowed when used memory > 'maxmemory'.");
    }
  }

  private call([name = "", _keys, ...args]: string[]): string {
    if (!this.hasLibrary) throw new RedisRefusal("ERR Function not found");
    const isTwin = name.endsWith("_full");
    this.mustWrite(!isTwin);
    redis.data = this.data;
    try {
      return called(isTwin, args);
    } finally {
      redis.data = undefined;
    }
  }

  private aboutFunctions([verb]: string[], answer: (reply: Reply) => void): void {
    if (verb === "LIST") return answer([]);
    this.mustWrite(verb === "LOAD");
    this.hasLibrary = true;
    answer("OK");
  }

  /** `XREAD COUNT n BLOCK ms STREAMS key id`. The answer has the shape that Bun's client gives it. */
  private read(args: string[], answer: (reply: Reply | null) => void): void {
    const [, count, , blockMs, , key = "", id = ""] = args;
    const found = (): boolean => {
      const entries = this.data.entriesAfter(key, id, Number(count));
      if (entries.length > 0) answer({ [key]: entries } as unknown as Reply);
      return entries.length > 0;
    };
    if (found()) return;
    this.waiting.push(found);
    this.time.after(Number(blockMs), () => {
      if (!this.waiting.includes(found)) return;
      this.waiting = this.waiting.filter((other) => other !== found);
      answer(null);
    });
  }

  private wake(): void {
    if (this.data.added.size === 0) return;
    this.data.added.clear();
    this.waiting = this.waiting.filter((found) => !found());
  }

  /** The process ends, and every connection with it. */
  end(): void {
    this.isUp = false;
    this.cutAll();
  }

  cutAll(): void {
    for (const link of [...this.links]) link.cut();
  }
}

/** A connection to a modelled Redis, with the interface of Bun's client. */
export class ModelLink implements RedisLink {
  onclose: ((error: Error) => void) | null = null;
  private server: RedisServer | undefined;
  private isClosed = false;
  private readonly pending = new Set<(error: Error) => void>();
  private arrivesAt = { to: 0, from: 0 };
  private readonly forNode: (ms: number, run: () => void) => void;

  constructor(
    private readonly find: () => RedisServer | undefined,
    private readonly time: ModelTime,
    private readonly wire: Wire,
  ) {
    this.forNode = time.forCaller();
  }

  connect(): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.pending.add(reject);
      this.pass("to", () => {
        const server = this.find();
        if (server?.isUp !== true) {
          return this.pass("from", () => {
            const said = "The model no longer listens.";
            reject(new RedisFault("cannot be reached", said));
          });
        }
        this.server = server;
        server.links.add(this);
        return this.pass("from", () => {
          this.pending.delete(reject);
          resolve(undefined);
        });
      });
    });
  }

  send(command: string, args: string[]): Promise<unknown> {
    if (this.isClosed) return Promise.reject(new Error("Connection closed"));
    return new Promise((resolve, reject) => {
      this.pending.add(reject);
      const settle = (end: () => void) =>
        this.pass("from", () => {
          this.pending.delete(reject);
          end();
        });
      this.pass("to", () => this.carryOut(command, args, settle, resolve, reject));
    });
  }

  private carryOut(
    command: string,
    args: string[],
    settle: (end: () => void) => void,
    resolve: (reply: unknown) => void,
    reject: (error: unknown) => void,
  ): void {
    const { server } = this;
    if (server?.isUp !== true) return;
    const restMs = server.stoppedUntil - this.time.now();
    if (restMs > 0) {
      this.time.after(restMs, () => this.carryOut(command, args, settle, resolve, reject));
      return;
    }
    try {
      server.carryOut(command, args, (reply) => settle(() => resolve(reply)));
    } catch (error) {
      if (!(error instanceof RedisRefusal)) throw error;
      settle(() => reject(error));
    }
  }

  /** Passes a message in one direction, in order. */
  private pass(direction: "to" | "from", run: () => void): void {
    const now = this.time.now();
    const { wire, arrivesAt } = this;
    const at = Math.max(arrivesAt[direction], now + wire.latency(), wire.blockedUntil(direction));
    arrivesAt[direction] = at;
    const arrive = () => {
      if (!this.isClosed) run();
    };
    if (direction === "to") this.time.after(at - now, arrive);
    else this.forNode(at - now, arrive);
  }

  /** Ends the connection. The client notices. */
  cut(): void {
    this.forNode(0, () => {
      if (this.isClosed) return;
      const error = new Error("Connection closed");
      this.end(error);
      this.onclose?.(error);
    });
    this.server?.links.delete(this);
  }

  close(): void {
    this.end(new Error("Connection closed"));
  }

  private end(error: Error): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.server?.links.delete(this);
    for (const reject of this.pending) reject(error);
    this.pending.clear();
  }
}

/** Makes links to the server that `find` returns for a URL. */
export function linksTo(
  find: (url: string) => RedisServer | undefined,
  time: ModelTime,
  wire: Wire,
): MakeLink {
  return (url: string, _: LinkOptions) => new ModelLink(() => find(url), time, wire);
}
