import { join } from "node:path";
import { newAppId } from "../../src/base/ids.ts";
import * as seating from "../contract/seating.ts";
import { startProxy } from "../support/proxy.ts";
import { TestRedis } from "../support/redis.ts";
import { at, redisNodes } from "../support/redis-engine.ts";
import { sessionsOnNodes } from "./nodes.ts";

// What a whole session costs nodes and Redis, with both sides on one node and apart, and how many frames
// one sender gets to another node, at 0, 2 and 10 ms to Redis and back. For docs/cluster.md and "Sizing"
// in docs/performance.md: bun test/bench/redis-sessions.ts [seconds]

const seconds = Number(process.argv[2] ?? 5);
const roundTripsMs = [0, 2, 10];
const main = join(import.meta.dir, "../../src/main.ts");
await using redis = await TestRedis.start();

/** A way to Redis that takes so long. */
function wayOf(roundTripMs: number) {
  if (roundTripMs === 0) return { url: redis.url, [Symbol.asyncDispose]: async () => {} };
  const proxy = startProxy(redis.port, roundTripMs / 2);
  return {
    url: `redis://127.0.0.1:${proxy.port}`,
    [Symbol.asyncDispose]: () => proxy[Symbol.asyncDispose](),
  };
}

async function sessions(apart: boolean, roundTripMs: number): Promise<void> {
  await using way = wayOf(roundTripMs);
  const command = [process.execPath, main];
  const times = { warmSeconds: 1, seconds };
  const run = { command, redis, redisUrl: way.url, apart, ...times };
  const { perSecond, nodesCpu, redisCpu, roundTrips, reads } = await sessionsOnNodes(run);
  process.stdout.write(
    `sessions ${apart ? "apart" : "on one node"}, Redis ${roundTripMs} ms away: ` +
      `${perSecond.toFixed(0)} a second; of each, CPU of the nodes ${nodesCpu.toFixed(0)} µs, ` +
      `of Redis ${redisCpu.toFixed(0)} µs, ${roundTrips.toFixed(1)} round trips and ${reads.toFixed(1)} reads\n`,
  );
}

/** One sender that has as many frames waiting as a connection may. */
async function frames(roundTripMs: number): Promise<void> {
  await using way = wayOf(roundTripMs);
  await using nodes = await redisNodes(redis, 2, {}, { leaseMs: 600_000, redis: at(way.url) });
  const [one, two = one] = nodes.engines;
  const room = newAppId();
  const { seat } = await seating.join(one, room, "A");
  const { listener } = await seating.join(two, room, "B");
  const frame = `{"type":"ice","candidate":"${"x".repeat(220)}"}`;
  let heard = 0;
  listener.relayed = () => {
    heard++;
    return true;
  };
  const waiting = 32;
  let running = true;
  const sender = async () => {
    while (running) await one.relay.publish(seat, frame, "ice");
  };
  const senders = Array.from({ length: waiting }, sender);
  await Bun.sleep(1_000);
  const before = heard;
  await Bun.sleep(seconds * 1_000);
  const rate = (heard - before) / seconds;
  running = false;
  await Promise.all(senders);
  process.stdout.write(
    `frames of one sender apart, Redis ${roundTripMs} ms away: ${rate.toFixed(0)} a second\n`,
  );
}

await sessions(false, 0);
for (const roundTripMs of roundTripsMs) await sessions(true, roundTripMs);
for (const roundTripMs of roundTripsMs) await frames(roundTripMs);
