import type { Clock, Random } from "../base/clock.ts";
import { StartError } from "../base/errors.ts";
import { version } from "../base/version.ts";
import { type Config, settings } from "../config/config.ts";
import type { Engine, EngineLimits } from "../engine/engine.ts";
import type { NodeSettings } from "../engine/redis/node-settings.ts";
import { checkRedis, type RedisTarget } from "../engine/redis/primary.ts";
import { formatVersion, redisEngine } from "../engine/redis/redis.ts";
import type { Log } from "../telemetry/log.ts";
import type { Tally } from "../telemetry/tally.ts";

/**
 * The engine in the Redis of `REDIS_URL`, or of the primary that `REDIS_SENTINELS` name. A lease is
 * three quarters of the time after which the seats of a dead node have to be free, so that a renewal
 * may be late.
 * Throws a `StartError` if this Redis cannot be used.
 */
export async function sharedEngine(
  config: Config,
  {
    node,
    clock,
    random,
    tally,
    log,
    limits,
  }: {
    readonly node: string;
    readonly clock: Clock;
    readonly random: Random;
    readonly tally: Tally;
    readonly log: Log;
    readonly limits: EngineLimits;
  },
): Promise<Engine> {
  const { redisTimeoutMs: timeoutMs } = config;
  const redis = await redisTarget(config);
  for (const warning of await checkRedis(redis, timeoutMs)) log.warn(warning);
  const { store } = tally;
  const logRefusal = seldom(clock, (reason) => log.error("redis refuses", { reason }));
  let wasUp = false;
  return redisEngine({
    ...{ node, redis, timeoutMs, clock, random, limits },
    prefix: config.redisPrefix,
    leaseMs: config.heartbeatMs * 1.5,
    dropped(reason, count) {
      tally.drops[reason] += count;
    },
    agreement: {
      settings: agreed(config),
      differs(other, differences) {
        const settings = differences
          .map(({ name, here, there }) => `${name}: ${here} here, ${there} there`)
          .join("; ");
        if (!differences.some(({ name }) => name === "format")) {
          return log.warn("nodes differ", { other, settings });
        }
        const remedy =
          "They share no codes, rooms or mail. Run one version of nt-signal on this Redis, or give each its REDIS_PREFIX.";
        log.error("nodes of two formats", { other, settings, remedy });
      },
    },
    store: {
      changed(isUp) {
        store.isUp = isUp;
        if (isUp && wasUp) store.reconnects++;
        wasUp ||= isUp;
        if (isUp) log.info("redis connected");
        else log.error("redis unreachable");
      },
      failed: ({ kind, message }) => log.error("redis connection failed", { why: kind, message }),
      refused(kind, message) {
        store.refusals[kind]++;
        logRefusal(message);
      },
      took: (ms) => store.roundTripSeconds.observe(ms / 1_000),
    },
  });
}

async function redisTarget(config: Config): Promise<RedisTarget> {
  const { redisUrl, redisCaFile, redisSentinels } = config;
  const sentinels = {
    hosts: redisSentinels,
    name: config.redisSentinelName,
    user: config.redisSentinelUser,
    password: config.redisSentinelPassword,
  };
  return {
    url: redisUrl,
    ca: redisCaFile === "" ? undefined : await readCa(redisCaFile),
    sentinels: redisSentinels.length === 0 ? undefined : sentinels,
  };
}

/** Nodes compare these, and warn if they differ. */
function agreed(config: Config): NodeSettings {
  const values = settings
    .filter((setting) => setting.sameOnAllNodes)
    .map((setting) => [setting.variable, String(config[setting.key])] as const);
  return { version, format: String(formatVersion), ...Object.fromEntries(values) };
}

/** Logs at most one refusal in ten seconds: a Redis that refuses one command refuses most. */
function seldom(clock: Clock, say: (text: string) => void): (text: string) => void {
  let nextAt = 0;
  return (text) => {
    if (clock.monotonicMs() < nextAt) return;
    nextAt = clock.monotonicMs() + 10_000;
    say(text);
  };
}

async function readCa(path: string): Promise<string> {
  const text = await Bun.file(path)
    .text()
    .catch(() => "");
  if (text.includes("BEGIN CERTIFICATE")) return text;
  throw new StartError(
    `REDIS_CA_FILE=${JSON.stringify(path)} holds no certificate that can be read. Name a file in PEM format.`,
  );
}
