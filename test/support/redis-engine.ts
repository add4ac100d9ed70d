import { cryptoRandom, systemClock } from "../../src/base/clock.ts";
import { newNodeId } from "../../src/base/ids.ts";
import type { Engine, EngineLimits } from "../../src/engine/engine.ts";
import type { RedisTarget } from "../../src/engine/redis/primary.ts";
import { type RedisEngineOptions, redisEngine } from "../../src/engine/redis/redis.ts";
import { contractLimits, type EngineUnderTest } from "../contract/engine-contract.ts";
import { apart } from "./apart-engine.ts";
import type { TestRedis } from "./redis.ts";

let made = 0;

/** A single Redis, without TLS. */
export function at(url: string): RedisTarget {
  return { url: url.replace("http:", "redis:"), ca: undefined, sentinels: undefined };
}

/** Engines of several nodes on one Redis, with keys of their own and a clock that can be moved. */
export async function redisNodes(
  redis: TestRedis,
  nodes: number,
  limits: Partial<EngineLimits> = {},
  options: Partial<RedisEngineOptions> = {},
) {
  const prefix = `nt${++made}:`;
  const drops = { stale: 0, hold_expired: 0, room_forgotten: 0 };
  let offsetMs = 0;
  const engines = await Promise.all(
    Array.from({ length: nodes }, () =>
      redisEngine({
        node: newNodeId(),
        redis: at(redis.url),
        prefix,
        timeoutMs: 2_000,
        leaseMs: 30_000,
        clock: systemClock,
        random: cryptoRandom,
        limits: { ...contractLimits, ...limits },
        dropped: (reason, count) => {
          drops[reason] += count;
        },
        offsetMs: () => offsetMs,
        ...options,
      }),
    ),
  );
  return {
    prefix,
    engines: engines as [Engine, ...Engine[]],
    advance(ms: number) {
      offsetMs += ms;
    },
    dropped: (reason: keyof typeof drops) => drops[reason],
    async [Symbol.asyncDispose]() {
      await Promise.all(engines.map((engine) => engine.close()));
    },
  };
}

/** One node, as the contract wants it. */
export async function oneRedisNode(
  redis: TestRedis,
  limits?: Partial<EngineLimits>,
): Promise<EngineUnderTest> {
  const nodes = await redisNodes(redis, 1, limits);
  return { ...nodes, engine: nodes.engines[0] };
}

/** Two nodes with the sides of each room apart. */
export async function redisNodesApart(
  redis: TestRedis,
  limits?: Partial<EngineLimits>,
): Promise<EngineUnderTest> {
  const nodes = await redisNodes(redis, 2, limits);
  return { ...nodes, engine: apart(nodes.engines as [Engine, Engine]) };
}
