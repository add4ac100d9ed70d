import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RedisClient } from "bun";
import { freePort, requireProgram } from "./program.ts";
import { until } from "./waiting.ts";

/** Tests that need one are skipped. */
export const { missing: redisMissing } = requireProgram("redis-server");

export interface RedisOptions {
  /** Every write is on disk before it is answered, and there after a restart. */
  readonly durable?: boolean;
  /** More of what could stand in its configuration: `["--requirepass", "secret"]`. */
  readonly args?: readonly string[];
}

/** A Redis server of a test's own, on a free port of 127.0.0.1. */
export class TestRedis implements AsyncDisposable {
  private child: Bun.Subprocess | undefined;

  private constructor(
    readonly port: number,
    private readonly folder: string,
    private readonly options: RedisOptions,
  ) {}

  static async start(options: RedisOptions = {}): Promise<TestRedis> {
    const folder = await mkdtemp(join(tmpdir(), "nt-signal-redis-"));
    const redis = new TestRedis(await freePort(), folder, options);
    if (!redisMissing) await redis.run();
    return redis;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Starts it, again if it has ended, on the same port and with what it had written. */
  async run(): Promise<void> {
    const { durable = false, args = [] } = this.options;
    const written = durable ? ["yes", "--appendfsync", "always"] : ["no"];
    this.child = Bun.spawn(
      [
        ...["redis-server", "--bind", "127.0.0.1", "--port", String(this.port)],
        ...["--dir", this.folder, "--save", "", "--appendonly", ...written, ...args],
      ],
      { stdin: "ignore", stdout: "ignore", stderr: "ignore" },
    );
    await until("Redis to listen", () => {
      if (this.child?.exitCode !== null) throw new Error("redis-server has ended at its start");
      return answers(this.port);
    });
  }

  signal(signal: "SIGKILL" | "SIGSTOP" | "SIGCONT"): void {
    this.child?.kill(signal);
  }

  /** Ends it without a word, as a crash does. */
  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.child?.exited;
  }

  /** What a command answers, over a connection of its own. */
  async ask(command: string, ...args: string[]): Promise<unknown> {
    const client = new RedisClient(this.url, { autoReconnect: false });
    try {
      await client.connect();
      return await client.send(command, args);
    } finally {
      client.close();
    }
  }

  /** How many nodes read here what they are told. */
  async readers(): Promise<number> {
    return (await this.readingClients()).length;
  }

  /** Ends the connections over which nodes read what they are told. */
  async cutReaders(): Promise<void> {
    for (const id of await this.readingClients()) await this.ask("CLIENT", "KILL", "ID", id);
  }

  private async readingClients(): Promise<readonly string[]> {
    const clients = String(await this.ask("CLIENT", "LIST").catch(() => "")).split("\n");
    const reading = clients.filter((line) => line.includes(" cmd=xread "));
    return reading.map((line) => line.match(/^id=(\d+)/)?.[1] ?? "");
  }

  /** Forgets all that was written since the last `SAVE`, as a replica does that becomes the primary. */
  async goBack(): Promise<void> {
    await this.kill();
    await this.run();
  }

  /** Calls of each command since the last `CONFIG RESETSTAT`. */
  async calls(): Promise<ReadonlyMap<string, number>> {
    const text = String(await this.ask("INFO", "commandstats"));
    const lines = text.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm);
    return new Map(Array.from(lines, ([, name, calls]) => [String(name), Number(calls)]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.signal("SIGCONT");
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => resolve(false));
    socket.on("data", () => {
      resolve(true);
      socket.destroy();
    });
    socket.on("connect", () => socket.write("PING\r\n"));
    socket.on("close", () => resolve(false));
  });
}
