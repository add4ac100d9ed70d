import { type Network, startProxy } from "../support/proxy.ts";
import { TestRedis } from "../support/redis.ts";
import { Sentinels } from "../support/sentinels.ts";
import { until } from "../support/waiting.ts";

/** A Redis, or several under sentinels, and what can befall them. */
export interface ChaosStore extends AsyncDisposable {
  /** What a node is told of it; each node may have a way of its own. */
  env(node: number): Record<string, string>;
  /** Each for so many ms. */
  readonly faults: Readonly<Record<string, (lastsMs: number) => Promise<void>>>;
  primary(): Promise<TestRedis>;
  /** When mail that was answered may be lost or come twice: from and until, by `performance.now()`. */
  readonly losses: (readonly [from: number, until: number])[];
}

/** By when everything has to be as it should, once nothing is broken any more. */
export const settlingMs = 60_000;
export const becomes = (what: string, is: () => boolean | Promise<boolean>) =>
  until(what, is, settlingMs);

/** How long the nodes wait for an answer. */
export const timeoutMs = 500;
/** How far the way of each node to Redis is, there and back. */
const roundTripsMs = [0, 2, 10];

/** One Redis, each node on a way of its own to it, which breaks. `goesBack`: Redis forgets some of what it answered. */
export async function single(goesBack: boolean, nodes: () => Promise<void>): Promise<ChaosStore> {
  const redis = await TestRedis.start({ durable: !goesBack });
  const ways = roundTripsMs.map((ms) => startProxy(redis.port, ms / 2));
  const losses: (readonly [number, number])[] = [];
  const someWay = (lastsMs: number) => ways[lastsMs % ways.length] as Network;
  return {
    env: (node) => ({ REDIS_URL: `redis://127.0.0.1:${ways[node]?.port}` }),
    losses,
    faults: {
      ...(goesBack
        ? {
            async "make Redis older"(lastsMs) {
              const from = performance.now();
              await redis.ask("SAVE");
              await Bun.sleep(lastsMs);
              await redis.goBack();
              await nodes();
              losses.push([from, performance.now()]);
            },
          }
        : { "kill Redis": (lastsMs) => killed(redis, lastsMs) }),
      "stop Redis": (lastsMs) => stopped(redis, lastsMs),
      async "reset a way"(lastsMs) {
        for (const connection of [...someWay(lastsMs).connections]) connection.cut("reset");
      },
      async "lose a way in silence"(lastsMs) {
        const way = someWay(lastsMs);
        for (const connection of [...way.connections]) connection.cut("silent");
        await Bun.sleep(lastsMs);
        way.resetSilent();
      },
      "lose what is asked": (lastsMs) => stalled(someWay(lastsMs), "toServer", lastsMs),
      "lose what is answered": (lastsMs) => stalled(someWay(lastsMs), "toClient", lastsMs),
    },
    primary: () => Promise.resolve(redis),
    async [Symbol.asyncDispose]() {
      for (const way of ways) await way[Symbol.asyncDispose]();
      await redis[Symbol.asyncDispose]();
    },
  };
}

/**
 * Two Redis under three sentinels. One fault of the primary at a time, with the replica following. With
 * `careful`, a primary stores nothing without its replica, and one that failed is back only when the other
 * has taken its place: then no mail that was answered is lost.
 */
export async function failingOver(careful: boolean): Promise<ChaosStore> {
  const args = careful ? ["--min-replicas-to-write", "1", "--min-replicas-max-lag", "1"] : [];
  // Long enough that a busy machine does not make a primary fail that lives.
  const sentinels = await Sentinels.start({ args, downAfterMs: careful ? 2_000 : 1_000 });
  const losses: (readonly [number, number])[] = [];
  const whole = async () => {
    await becomes("the replica to follow", () => sentinels.isWhole());
    return sentinels.primary();
  };
  /** Everything that is answered once every node reads at the new primary is kept. */
  const failover = async (old: TestRedis, startedAt: number) => {
    await becomes("the failover", async () => (await sentinels.primary()) !== old);
    if (careful) return;
    const primary = await sentinels.primary();
    await becomes(
      "the nodes to follow",
      async () => (await primary.readers()) >= roundTripsMs.length,
    );
    losses.push([startedAt - 1_000, performance.now()]);
  };
  const faults: Record<string, (lastsMs: number) => Promise<void>> = {
    async "kill the primary"() {
      const [old, startedAt] = [await whole(), performance.now()];
      await old.kill();
      await failover(old, startedAt);
      await old.run();
    },
    async "stop the primary"() {
      const [old, startedAt] = [await whole(), performance.now()];
      old.signal("SIGSTOP");
      await failover(old, startedAt);
      // What it was asked before it was replaced is too late by then.
      await Bun.sleep(2 * timeoutMs);
      old.signal("SIGCONT");
    },
    "stop the primary briefly": async (lastsMs) => stopped(await whole(), lastsMs / 8),
  };
  if (!careful) {
    faults["isolate the primary"] = async () => {
      const [old, startedAt] = [await whole(), performance.now()];
      sentinels.isolate(old);
      await failover(old, startedAt);
      sentinels.reunite();
    };
    faults["replace the primary"] = async () => {
      const [old, startedAt] = [await whole(), performance.now()];
      await sentinels.failOver();
      await failover(old, startedAt);
    };
  }
  return {
    env: () => sentinels.env,
    faults,
    losses,
    primary: () => sentinels.primary(),
    [Symbol.asyncDispose]: () => sentinels[Symbol.asyncDispose](),
  };
}

async function stalled(
  way: Network,
  direction: "toServer" | "toClient",
  lastsMs: number,
): Promise<void> {
  const connections = [...way.connections];
  for (const connection of connections) connection.stall(direction);
  await Bun.sleep(lastsMs);
  for (const connection of connections) connection.resume(direction);
}

async function killed(redis: TestRedis, lastsMs: number): Promise<void> {
  await redis.kill();
  await Bun.sleep(lastsMs / 2);
  await redis.run();
}

async function stopped(redis: TestRedis, lastsMs: number): Promise<void> {
  redis.signal("SIGSTOP");
  await Bun.sleep(lastsMs);
  redis.signal("SIGCONT");
}
