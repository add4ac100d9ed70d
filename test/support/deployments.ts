import { redisMissing, TestRedis } from "./redis.ts";
import { type TestServer, testServer } from "./server.ts";

/** Where the two sides of a room connect to, and what stands behind it. */
export interface Deployment extends AsyncDisposable {
  readonly a: TestServer;
  readonly b: TestServer;
}

type OpenDeployment = (env?: Record<string, string>) => Promise<Deployment>;

const onRedis: readonly (readonly [name: string, open: OpenDeployment])[] = [
  ["Redis, one node", (env) => redisDeployment(1, env)],
  ["Redis, two nodes, the sides apart", (env) => redisDeployment(2, env)],
];

/** Everything that two peers can be connected to, by name. */
export const deployments: typeof onRedis = [
  ["memory", (env) => openDeployment(1, env)],
  ...(redisMissing ? [] : onRedis),
];

async function redisDeployment(
  nodes: number,
  env: Record<string, string> = {},
): Promise<Deployment> {
  const redis = await TestRedis.start();
  const deployment = await openDeployment(nodes, { REDIS_URL: redis.url, DRAIN: "0", ...env });
  return {
    ...deployment,
    async [Symbol.asyncDispose]() {
      await deployment[Symbol.asyncDispose]();
      await redis[Symbol.asyncDispose]();
    },
  };
}

async function openDeployment(
  nodes: number,
  env: Record<string, string> = {},
): Promise<Deployment> {
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
