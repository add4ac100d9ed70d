import { chance } from "../support/chance.ts";
import { freePort } from "../support/program.ts";
import { TestRedis } from "../support/redis.ts";
import { Sentinels } from "../support/sentinels.ts";
import { Talker } from "../support/talker.ts";
import { until, within } from "../support/waiting.ts";
import { ChaosNode } from "./node.ts";

export interface ChaosOptions {
  /** The same seed makes the same choices; what they meet is up to the machine. */
  readonly seed: number;
  readonly seconds: number;
  readonly pairs: number;
  /** Two Redis under three sentinels, which fail over, instead of one. */
  readonly sentinel?: boolean;
  readonly say?: (line: string) => void;
}

export interface ChaosReport {
  readonly actions: Readonly<Record<string, number>>;
  readonly mails: number;
  readonly arrivals: number;
  /** What should not have happened, in words. */
  readonly faults: readonly string[];
  /** Bytes each node occupies at the end, and Redis. */
  readonly rss: readonly number[];
  readonly redisBytes: number;
}

const heartbeatMs = 1_000;
const timeoutMs = 500;
/** Wall clocks of the nodes: far behind, right, far ahead. */
const clockOffsetsMs = [-3_600_000, 0, 86_400_000];
const mailEveryMs = 40;
/** By when everything has to be as it should, once nothing is broken any more. */
const settlingMs = 60_000;
const becomes = (what: string, is: () => boolean | Promise<boolean>) => until(what, is, settlingMs);

/**
 * Nodes and their Redis are killed, stopped and restarted at random, while pairs of reconnecting
 * clients that come through whatever node they happen on send each other mail.
 */
export async function chaos(options: ChaosOptions): Promise<ChaosReport> {
  const { seed, seconds, pairs, say = () => {} } = options;
  const random = chance(seed).below;
  await using parts = new AsyncDisposableStack();
  const store = parts.use(options.sentinel ? await failingOver() : await single());
  const env = { ...store.env, REDIS_TIMEOUT: `${timeoutMs}ms`, HEARTBEAT: `${heartbeatMs}ms` };
  const nodes: ChaosNode[] = [];
  for (const offset of clockOffsetsMs) {
    const node = new ChaosNode(await freePort(), { ...env, CLOCK_OFFSET_MS: String(offset) });
    nodes.push(parts.use(node));
    node.run();
  }
  await becomes("every node to be ready", () => all(nodes, (node) => node.isReady()));

  const choose = chance(seed + 1).below;
  const Socket = roaming(() => nodes[choose(nodes.length)] as ChaosNode);
  const couples = Array.from({ length: pairs }, () => {
    const appId = crypto.randomUUID();
    const [a, b] = (["A", "B"] as const).map((side) => {
      const patience = { minRetryMs: 50, maxRetryMs: 1_000, answerMs: 3_000, seatMs: 20_000 };
      const address = { url: "http://anywhere", appId, side, WebSocket: Socket };
      return new Talker({ ...address, ...patience, everyMs: mailEveryMs });
    });
    return [a, b] as [Talker, Talker];
  });
  const parties = couples.flat();
  for (const party of parties) parts.use(party);
  await becomes("every client to be online", () => parties.every((party) => party.isOnline));
  for (const party of parties) party.talk();

  const actions = await misbehave(nodes, store, random, seconds, say);

  const faults: string[] = [];
  await becomes("every node to be ready again", () => all(nodes, (node) => node.isReady()));
  await within(
    "the last mail to be stored",
    Promise.all(parties.map((p) => p.fallSilent())),
    settlingMs,
  ).catch((error: Error) => faults.push(error.message));
  for (const [a, b] of couples) {
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      await becomes("the last mail to be heard", () => to.heard.length >= from.sent).catch(
        () => {},
      );
      const wrong = to.faultIn(from);
      if (wrong !== undefined) faults.push(wrong);
    }
  }
  const mails = parties.reduce((sum, { stored }) => sum + stored, 0);
  const arrivals = parties.reduce((sum, party) => sum + party.arrivals, 0);
  faults.push(...nodes.flatMap((node) => node.faults));
  const rss = nodes.map((node) => node.rss());

  for (const party of parties) party[Symbol.dispose]();
  const redis = await store.primary();
  const freed = async () => Number(await redis.ask("ZCARD", "nt:{rv}:busy")) === 0;
  await becomes("every seat to be free", freed).catch((error: Error) => faults.push(error.message));
  const keys = (await redis.ask("KEYS", "nt:*")) as string[];
  for (const key of keys) {
    if (Number(await redis.ask("PTTL", key)) === -1) faults.push(`${key} has no time to live`);
  }
  const memory = String(await redis.ask("INFO", "memory"));
  const redisBytes = Number(/^used_memory:(\d+)/m.exec(memory)?.[1]);
  return { actions, mails, arrivals, faults, rss, redisBytes };
}

interface ChaosStore extends AsyncDisposable {
  readonly env: Record<string, string>;
  /** What can befall it, each for so many ms. */
  readonly faults: Readonly<Record<string, (lastsMs: number) => Promise<void>>>;
  primary(): Promise<TestRedis>;
}

async function single(): Promise<ChaosStore> {
  const redis = await TestRedis.start({ durable: true });
  return {
    env: { REDIS_URL: redis.url },
    faults: {
      "kill Redis": (lastsMs) => killed(redis, lastsMs),
      "stop Redis": (lastsMs) => stopped(redis, lastsMs),
    },
    primary: () => Promise.resolve(redis),
    [Symbol.asyncDispose]: () => redis[Symbol.asyncDispose](),
  };
}

/**
 * One fault of the primary at a time, with the replica following, and a primary that failed is back
 * when the other has taken its place or before anybody minds: then no mail that was answered is lost.
 * (One that lives while it is replaced promises less: what is on its way to the replica.)
 */
async function failingOver(): Promise<ChaosStore> {
  const args = ["--min-replicas-to-write", "1", "--min-replicas-max-lag", "1"];
  // Long enough that a busy machine does not make a primary fail that lives.
  const sentinels = await Sentinels.start({ args, downAfterMs: 2_000 });
  const whole = async () => {
    await becomes("the replica to follow", () => sentinels.isWhole());
    return sentinels.primary();
  };
  const replaced = (old: TestRedis) =>
    becomes("the failover", async () => (await sentinels.primary()) !== old);
  return {
    env: sentinels.env,
    faults: {
      async "kill the primary"() {
        const old = await whole();
        await old.kill();
        await replaced(old);
        await old.run();
      },
      async "stop the primary"() {
        const old = await whole();
        old.signal("SIGSTOP");
        await replaced(old);
        // What it was asked before it was replaced is too late by then.
        await Bun.sleep(2 * timeoutMs);
        old.signal("SIGCONT");
      },
      "stop the primary briefly": async (lastsMs) => stopped(await whole(), lastsMs / 8),
    },
    primary: () => sentinels.primary(),
    [Symbol.asyncDispose]: () => sentinels[Symbol.asyncDispose](),
  };
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

async function misbehave(
  nodes: readonly ChaosNode[],
  store: ChaosStore,
  random: (below: number) => number,
  seconds: number,
  say: (line: string) => void,
): Promise<Record<string, number>> {
  const actions: Record<string, number> = {};
  const endAt = performance.now() + seconds * 1_000;
  while (performance.now() < endAt) {
    await Bun.sleep(200 + random(600));
    const node = nodes[random(nodes.length)] as ChaosNode;
    const lastsMs = 100 + random(2_400);
    const faults = ["kill a node", "stop a node", ...Object.keys(store.faults)];
    const what = faults[random(faults.length)] as string;
    actions[what] = (actions[what] ?? 0) + 1;
    say(`${what} for ${lastsMs} ms`);
    switch (what) {
      case "kill a node":
        await node.kill();
        await Bun.sleep(lastsMs / 4);
        node.run();
        break;
      case "stop a node":
        node.signal("SIGSTOP");
        await Bun.sleep(lastsMs);
        node.signal("SIGCONT");
        break;
      default:
        await store.faults[what]?.(lastsMs);
    }
  }
  return actions;
}

/** A WebSocket that goes to whichever node comes up. */
function roaming(choose: () => ChaosNode): new (url: string, protocol: string) => WebSocket {
  return class extends WebSocket {
    constructor(url: string, protocol: string) {
      super(url.replace("anywhere", `127.0.0.1:${choose().port}`), protocol);
    }
  };
}

async function all<T>(things: readonly T[], is: (thing: T) => Promise<boolean>): Promise<boolean> {
  return (await Promise.all(things.map(is))).every(Boolean);
}
