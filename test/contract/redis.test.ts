import { afterAll } from "bun:test";
import { redisMissing, TestRedis } from "../support/redis.ts";
import { oneRedisNode, redisNodesApart, redisNodesInTurn } from "../support/redis-engine.ts";
import { engineContract } from "./engine-contract.ts";

if (!redisMissing) {
  const redis = await TestRedis.start();
  afterAll(() => redis[Symbol.asyncDispose]());
  engineContract("Redis, one node", (limits) => oneRedisNode(redis, limits));
  engineContract("Redis, two nodes, the sides apart", (limits) => redisNodesApart(redis, limits));
  engineContract("Redis, two nodes in turn", (limits) => redisNodesInTurn(redis, limits));
}
