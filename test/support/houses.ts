import { redisMissing, TestRedis } from "./redis.ts";
import { type TestServer, testServer } from "./server.ts";

/** Where the two sides of a room connect to, and what stands behind it. */
export interface House extends AsyncDisposable {
  readonly a: TestServer;
  readonly b: TestServer;
}

export type OpenHouse = (env?: Record<string, string>) => Promise<House>;

const onRedis: readonly (readonly [name: string, open: OpenHouse])[] = [
  ["Redis, one node", (env) => redisHouse(1, env)],
  ["Redis, two nodes, the sides apart", (env) => redisHouse(2, env)],
];

/** Everything that two peers can be connected to, by name. */
export const houses: typeof onRedis = [
  ["memory", (env) => openHouse(1, env)],
  ...(redisMissing ? [] : onRedis),
];

async function redisHouse(nodes: number, env: Record<string, string> = {}): Promise<House> {
  const redis = await TestRedis.start();
  const house = await openHouse(nodes, { REDIS_URL: redis.url, DRAIN: "0", ...env });
  return {
    ...house,
    async [Symbol.asyncDispose]() {
      await house[Symbol.asyncDispose]();
      await redis[Symbol.asyncDispose]();
    },
  };
}

async function openHouse(nodes: number, env: Record<string, string> = {}): Promise<House> {
  const a = await testServer(env);
  const b = nodes === 1 ? a : await testServer(env);
  return {
    a,
    b,
    async [Symbol.asyncDispose]() {
      await Promise.all([a.stop(), b.stop()]);
    },
  };
}
