import type { TestRedis } from "../support/redis.ts";
import { within } from "../support/waiting.ts";
import { cpuSeconds } from "./process-facts.ts";
import { most, type Row } from "./rows.ts";
import { startSubject } from "./subject.ts";
import { sessionSlots } from "./workloads/session-slots.ts";

/** Whole sessions on nodes with a Redis between them. */
export interface NodesRun {
  readonly command: readonly string[];
  readonly redis: TestRedis;
  /** The way to it, where that is not the direct one. */
  readonly redisUrl?: string;
  /** The two sides are on two nodes, else on one. */
  readonly apart: boolean;
  readonly warmSeconds: number;
  readonly seconds: number;
}

/** CPU in µs a session, of all nodes and of Redis. */
export interface NodesFigures {
  readonly perSecond: number;
  readonly nodesCpu: number;
  readonly redisCpu: number;
  readonly roundTrips: number;
  readonly reads: number;
}

export interface NodesExperiment {
  readonly apart: boolean;
  readonly rows: readonly (Row & { readonly figure: keyof NodesFigures })[];
}

export const nodesExperiments: readonly NodesExperiment[] = [
  {
    apart: false,
    rows: [
      {
        name: "nodes-together",
        title: "whole session, Redis, both sides on one node: CPU of the node",
        figure: "nodesCpu",
        unit: "µs",
        aim: most(700),
      },
    ],
  },
  {
    apart: true,
    rows: [
      {
        name: "nodes-apart",
        title: "whole session, Redis, its sides on two nodes: CPU of both",
        figure: "nodesCpu",
        unit: "µs",
        aim: most(1_100),
      },
      {
        name: "nodes-apart-redis",
        title: "whole session, its sides on two nodes: CPU of Redis",
        figure: "redisCpu",
        unit: "µs",
        aim: most(850),
      },
      {
        name: "nodes-apart-trips",
        title: "whole session, its sides on two nodes: round trips to Redis",
        figure: "roundTrips",
        unit: "trips",
        aim: most(12),
      },
    ],
  },
];

export async function sessionsOnNodes(run: NodesRun): Promise<NodesFigures> {
  const { command, redis, apart } = run;
  const redisPid = Number(/process_id:(\d+)/.exec(String(await redis.ask("INFO", "server")))?.[1]);
  const env = { REDIS_URL: run.redisUrl ?? redis.url };
  const start = () => startSubject({ command, env, core: 0 });
  await using one = await start();
  await using two = apart ? await start() : undefined;
  const nodesCpu = () => cpuSeconds(one.pid) + (two ? cpuSeconds(two.pid) : 0);
  const ports = { port: one.port, ...(two && { portOfB: two.port }) };
  const running = await sessionSlots({ ...ports, whole: true, slots: 16 });
  // Compilers and caches warm up; then what is done in a given time is what is measured.
  await Bun.sleep(run.warmSeconds * 1_000);
  await redis.ask("CONFIG", "RESETSTAT");
  const before = { done: running.done(), nodes: nodesCpu(), redis: cpuSeconds(redisPid) };
  await Bun.sleep(run.seconds * 1_000);
  const done = running.done() - before.done;
  const calls = await redis.calls();
  const figures = {
    perSecond: done / run.seconds,
    nodesCpu: ((nodesCpu() - before.nodes) * 1e6) / done,
    redisCpu: ((cpuSeconds(redisPid) - before.redis) * 1e6) / done,
    roundTrips: (calls.get("fcall") ?? 0) / done,
    reads: (calls.get("xread") ?? 0) / done,
  };
  await within("the last sessions", running.end(), 10_000);
  const failure = running.failure();
  if (failure !== undefined) throw failure;
  return figures;
}
