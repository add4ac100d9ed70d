import { systemClock } from "../../src/base/clock.ts";
import { engineContract } from "../contract/engine-contract.ts";
import { chance } from "../support/chance.ts";
import { redisNodesApart } from "../support/redis-engine.ts";
import { linksTo, type ModelTime, RedisServer } from "./redis-model.ts";

// The simulation's model of Redis passes the suite that a real Redis passes in test/contract/redis.test.ts.

const after = (ms: number, run: () => void) => {
  if (ms > 0) return systemClock.after(ms, run);
  const soon = setImmediate(run);
  return () => clearImmediate(soon);
};
const time: ModelTime = { now: Date.now, after, forCaller: () => after };
const server = new RedisServer(
  "redis://model",
  time,
  chance(1),
  () => 0,
  () => true,
);
const makeLink = linksTo(() => server, time, { latency: () => 0, blockedUntil: () => 0 });

engineContract("A model of Redis, two nodes, the sides apart", (limits) =>
  redisNodesApart({ url: server.url }, limits, { makeLink }),
);
