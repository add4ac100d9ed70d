import { redisHosts, redisName, redisPrefix, redisSecret, redisUrl } from "../cluster-formats.ts";
import { duration, filePath } from "../formats.ts";
import type { Setting } from "../setting.ts";

/** Several servers that are one, by a Redis that they share. */
export const cluster = [
  {
    variable: "REDIS_URL",
    key: "redisUrl",
    schema: redisUrl,
    default: "",
    help: "Redis 7 or Valkey in which all servers with the same one keep their codes, rooms and mail; empty keeps them in this process",
    secret: true,
  },
  {
    variable: "REDIS_SENTINELS",
    key: "redisSentinels",
    schema: redisHosts,
    default: "",
    help: "Sentinels that are asked where the primary is; scheme, user, password and database are those of `REDIS_URL`, whose host then means nothing",
  },
  {
    variable: "REDIS_SENTINEL_NAME",
    key: "redisSentinelName",
    schema: redisName,
    default: "mymaster",
    help: "What the sentinels call the primary and its replicas",
  },
  {
    variable: "REDIS_SENTINEL_PASSWORD",
    key: "redisSentinelPassword",
    schema: redisSecret,
    default: "",
    help: "What the sentinels ask for, if they ask for a password of their own",
    secret: true,
  },
  {
    variable: "REDIS_CA_FILE",
    key: "redisCaFile",
    schema: filePath,
    default: "",
    help: "Certificates in PEM format that a `rediss://` server's is checked against; empty takes those of public authorities",
  },
  {
    variable: "REDIS_PREFIX",
    key: "redisPrefix",
    schema: redisPrefix,
    default: "nt:",
    help: "What the names of all keys and channels begin with: another one, another set of servers",
  },
  {
    variable: "REDIS_TIMEOUT",
    key: "redisTimeoutMs",
    schema: duration("100ms", "30s"),
    default: "2s",
    help: "How long Redis has to answer; what it does not do in time is not done later",
  },
] as const satisfies readonly Setting[];
