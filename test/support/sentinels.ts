import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openResp } from "../../src/engine/redis/resp.ts";
import { freePort, requireProgram } from "./program.ts";
import { type Network, startProxy } from "./proxy.ts";
import { redisMissing, TestRedis } from "./redis.ts";
import { until } from "./waiting.ts";

const { missing } = requireProgram("redis-sentinel");
export const sentinelMissing = missing || redisMissing;

/** Where sentinels and replicas connect from, so that a network can tell them from the nodes. */
const theirAddress = "127.0.0.2";

export interface SentinelOptions {
  /** More of what could stand in the configuration of each Redis. */
  readonly args?: readonly string[];
  readonly password?: string;
  /** Whose password it is; the default user's unless given, and then the default user may do nothing. */
  readonly user?: string;
  /** How long the primary may be silent before it counts as failed. */
  readonly downAfterMs?: number;
}

/** Two Redis, one of them the primary, and three sentinels that see to it that one is. */
export class Sentinels implements AsyncDisposable {
  private constructor(
    /** Both, the primary of the beginning first. */
    readonly redis: readonly [TestRedis, TestRedis],
    /** Through which everybody reaches each. */
    readonly networks: readonly [Network, Network],
    private readonly ports: readonly number[],
    private readonly children: readonly Bun.Subprocess[],
    private readonly folder: string,
    private readonly user: string,
    private readonly password: string,
  ) {}

  static async start(options: SentinelOptions = {}): Promise<Sentinels> {
    const { args = [], password = "", user = "", downAfterMs = 500 } = options;
    const folder = await mkdtemp(join(tmpdir(), "nt-signal-sentinels-"));
    const run = async (network: Network) => {
      // It tells the port at which the others reach it, as behind any other network.
      const announced = ["--replica-announce-port", String(network.port)];
      const own = ["--bind-source-addr", theirAddress, "--repl-diskless-sync-delay", "0"];
      const redis = await TestRedis.start({ durable: true, args: [...own, ...announced, ...args] });
      network.redirect(redis.port);
      return redis;
    };
    const [firstNetwork, secondNetwork] = [startProxy(0), startProxy(0)];
    const [first, second] = [await run(firstNetwork), await run(secondNetwork)];
    await second.ask("REPLICAOF", "127.0.0.1", String(firstNetwork.port));
    // Before the sentinels come: they ask whether there is one every 10 s only.
    await until("the replica to follow", () => follows(second));
    const ports = await Promise.all([freePort(), freePort(), freePort()]);
    const children: Bun.Subprocess[] = [];
    for (const port of ports) {
      const file = join(folder, `${port}.conf`);
      await writeFile(
        file,
        sentinelConf(port, firstNetwork.port, folder, { user, password, downAfterMs }),
      );
      children.push(
        Bun.spawn(["redis-sentinel", file], {
          stdin: "ignore",
          stdout: "ignore",
          stderr: "ignore",
        }),
      );
    }
    const all = new Sentinels(
      [first, second],
      [firstNetwork, secondNetwork],
      ports,
      children,
      folder,
      user,
      password,
    );
    try {
      await until("the sentinels to know each other and the replica", () => all.areReady());
    } catch (error) {
      await all[Symbol.asyncDispose]();
      throw error;
    }
    return all;
  }

  /** What a node is told of them. */
  get env(): Record<string, string> {
    return {
      REDIS_URL: "redis://primary",
      REDIS_SENTINELS: this.hosts.join(","),
      ...(this.user === "" ? {} : { REDIS_SENTINEL_USER: this.user }),
      ...(this.password === "" ? {} : { REDIS_SENTINEL_PASSWORD: this.password }),
    };
  }

  get hosts(): readonly string[] {
    return this.ports.map((port) => `127.0.0.1:${port}`);
  }

  /** One is cut off from the sentinels and the other; whoever else reaches it still does. */
  isolate(redis: TestRedis): void {
    this.networks[redis === this.redis[0] ? 0 : 1].partition(theirAddress);
  }

  reunite(): void {
    for (const network of this.networks) {
      network.resetSilent();
      network.up();
    }
  }

  /** Has the sentinels replace a primary that lives. */
  async failOver(): Promise<void> {
    const [port = 0] = this.ports;
    await this.asking(port, (ask) => ask("SENTINEL", "FAILOVER", "mymaster"));
  }

  /** Most sentinels name the second as primary. */
  async hasFailedOver(): Promise<boolean> {
    const { port } = this.networks[1];
    const named = await Promise.all(this.ports.map((one) => this.field(one, "port")));
    return named.filter((name) => name === String(port)).length >= 2;
  }

  /** What most sentinels name as primary. */
  async primary(): Promise<TestRedis> {
    return (await this.hasFailedOver()) ? this.redis[1] : this.redis[0];
  }

  /** The one is primary, the other follows it, and has all that it has. */
  async isWhole(): Promise<boolean> {
    const primary = await this.primary();
    const other = this.redis[primary === this.redis[0] ? 1 : 0];
    const told = String(await primary.ask("INFO", "replication").catch(() => ""));
    return told.includes("state=online") && (await follows(other));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.children) {
      child.kill("SIGKILL");
      await child.exited;
    }
    for (const redis of this.redis) await redis[Symbol.asyncDispose]();
    for (const network of this.networks) await network[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true, force: true });
  }

  private async areReady(): Promise<boolean> {
    for (const port of this.ports) {
      if ((await this.field(port, "num-other-sentinels")) !== "2") return false;
      if ((await this.field(port, "num-slaves")) !== "1") return false;
    }
    return true;
  }

  /** What a sentinel says of the primary; empty when it says nothing. */
  private async field(port: number, name: string): Promise<string> {
    const facts = await this.asking(port, (ask) => ask("SENTINEL", "MASTER", "mymaster"));
    return facts[facts.indexOf(name) + 1] ?? "";
  }

  /** Nothing when there is no answer. */
  private async asking(
    port: number,
    about: (ask: Resp["ask"]) => ReturnType<Resp["ask"]>,
  ): Promise<string | string[]> {
    const to = { host: "127.0.0.1", port, secure: false, ca: undefined, timeoutMs: 1_000 };
    let resp: Resp | undefined;
    try {
      resp = await openResp(to);
      if (this.password !== "") {
        await resp.ask("AUTH", ...(this.user === "" ? [] : [this.user]), this.password);
      }
      return await about(resp.ask);
    } catch {
      return [];
    } finally {
      resp?.close();
    }
  }
}

type Resp = Awaited<ReturnType<typeof openResp>>;

async function follows(redis: TestRedis): Promise<boolean> {
  const told = await redis.ask("INFO", "replication").catch(() => "");
  return String(told).includes("master_link_status:up");
}

function sentinelConf(
  port: number,
  primary: number,
  folder: string,
  { user, password, downAfterMs }: Required<Omit<SentinelOptions, "args">>,
): string {
  const acl = [`user ${user} on >${password} ~* &* +@all`, "user default off"];
  return [
    `port ${port}`,
    "bind 127.0.0.1",
    `bind-source-addr ${theirAddress}`,
    `dir ${folder}`,
    "sentinel announce-ip 127.0.0.1",
    `sentinel monitor mymaster 127.0.0.1 ${primary} 2`,
    `sentinel down-after-milliseconds mymaster ${downAfterMs}`,
    "sentinel failover-timeout mymaster 3000",
    ...(password === ""
      ? []
      : [
          ...(user === ""
            ? [`requirepass ${password}`]
            : [...acl, `sentinel sentinel-user ${user}`]),
          `sentinel sentinel-pass ${password}`,
        ]),
    "",
  ].join("\n");
}
