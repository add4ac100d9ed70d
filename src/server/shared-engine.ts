import type { Clock } from "../base/clock.ts";
import { StartError } from "../base/errors.ts";
import { onceAMinute } from "../base/once-a-minute.ts";
import { version } from "../base/version.ts";
import { type Config, settings } from "../config/config.ts";
import type { Engine } from "../engine/engine.ts";
import type { Difference, NodeSettings } from "../engine/redis/node-settings.ts";
import { checkRedis, type RedisTarget } from "../engine/redis/primary.ts";
import { formatVersion, type RedisEngineOptions, redisEngine } from "../engine/redis/redis.ts";
import type { Log } from "../telemetry/log.ts";
import { storeRefusals, type Tally } from "../telemetry/tally.ts";
import type { Base } from "./parts.ts";

/**
 * The engine in the Redis of `REDIS_URL`, or of the primary that `REDIS_SENTINELS` name. A lease is
 * three quarters of the time after which the seats of a dead node have to be free, so that a renewal
 * may be late.
 * Throws a `StartError` if this Redis cannot be used.
 */
export async function sharedEngine(
  { config, log, clock, random, tally }: Base,
  engine: Pick<RedisEngineOptions, "node" | "limits" | "dropped">,
): Promise<Engine> {
  const { redisTimeoutMs: timeoutMs } = config;
  const redis = await redisTarget(config);
  for (const warning of await checkRedis(redis, timeoutMs)) log.warn(warning);
  return redisEngine({
    ...engine,
    ...{ redis, timeoutMs, clock, random },
    prefix: config.redisPrefix,
    leaseMs: config.heartbeatMs * 1.5,
    agreement: {
      settings: agreed(config),
      differs: (other, differences) => logDifferences(log, other, differences),
    },
    store: storeEvents(log, clock, tally),
  });
}

/** Counts and logs what happens to the connection. */
function storeEvents(
  log: Log,
  clock: Clock,
  { store }: Tally,
): NonNullable<RedisEngineOptions["store"]> {
  const isDue = onceAMinute(clock.monotonicMs, storeRefusals.length);
  let wasUp = false;
  return {
    changed(isUp) {
      store.isUp = isUp;
      if (isUp && wasUp) store.reconnects++;
      wasUp ||= isUp;
      if (isUp) log.info("redis connected");
      else log.error("redis unreachable");
    },
    failed: ({ kind, message }) => log.error("redis connection failed", { why: kind, message }),
    refused(kind, reason) {
      store.refusals[kind]++;
      if (isDue(kind)) log.error("redis refuses", { reason });
    },
    took: (ms) => store.roundTripSeconds.observe(ms / 1_000),
  };
}

function logDifferences(log: Log, other: string, differences: readonly Difference[]): void {
  const settings = differences
    .map(({ name, here, there }) => `${name}: ${here} here, ${there} there`)
    .join("; ");
  if (!differences.some(({ name }) => name === "format")) {
    return log.warn("nodes differ", { other, settings });
  }
  const remedy =
    "They share no codes, rooms or mail. Run one version of nt-signal on this Redis, or give each its REDIS_PREFIX.";
  log.error("nodes of two formats", { other, settings, remedy });
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

async function readCa(path: string): Promise<string> {
  const text = await Bun.file(path)
    .text()
    .catch(() => "");
  if (text.includes("BEGIN CERTIFICATE")) return text;
  throw new StartError(
    `REDIS_CA_FILE=${JSON.stringify(path)} holds no certificate that can be read. Name a file in PEM format.`,
  );
}
