import { join } from "node:path";
import { newAppId } from "../../src/base/ids.ts";
import * as seating from "../contract/seating.ts";
import { startProxy } from "../support/proxy.ts";
import { TestRedis } from "../support/redis.ts";
import { at, redisNodes } from "../support/redis-engine.ts";
import { within } from "../support/waiting.ts";
import { cpuSeconds } from "./process-facts.ts";
import { startSubject } from "./subject.ts";
import { sessionSlots } from "./workloads/session-slots.ts";

// What a whole session costs nodes and Redis, with both sides on one node and apart, and how many frames
// one sender gets to another node, at 0, 2 and 10 ms to Redis and back. For docs/cluster.md and "Sizing"
// in docs/performance.md: bun test/bench/redis-sessions.ts [seconds]

const seconds = Number(process.argv[2] ?? 5);
const roundTripsMs = [0, 2, 10];
const main = join(import.meta.dir, "../../src/main.ts");
await using redis = await TestRedis.start();
const redisPid = Number(/process_id:(\d+)/.exec(String(await redis.ask("INFO", "server")))?.[1]);

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
  const env = { REDIS_URL: way.url };
  const start = () => startSubject({ command: [process.execPath, main], env, core: 0 });
  await using one = await start();
  await using two = apart ? await start() : undefined;
  const nodesCpu = () => cpuSeconds(one.pid) + (two ? cpuSeconds(two.pid) : 0);
  const ports = { port: one.port, ...(two && { portOfB: two.port }) };
  const running = await sessionSlots({ ...ports, whole: true, slots: 16 });
  // Compilers and caches warm up; then what is done in a given time is what is measured.
  await Bun.sleep(1_000);
  await redis.ask("CONFIG", "RESETSTAT");
  const before = { done: running.done(), nodes: nodesCpu(), redis: cpuSeconds(redisPid) };
  await Bun.sleep(seconds * 1_000);
  const done = running.done() - before.done;
  const calls = await redis.calls();
  const each = (cpu: number) => ((cpu * 1e6) / done).toFixed(0);
  const trips = ((calls.get("evalsha") ?? 0) / done).toFixed(1);
  process.stdout.write(
    `sessions ${apart ? "apart" : "on one node"}, Redis ${roundTripMs} ms away: ` +
      `${(done / seconds).toFixed(0)} a second; of each, CPU of the nodes ` +
      `${each(nodesCpu() - before.nodes)} µs, of Redis ` +
      `${each(cpuSeconds(redisPid) - before.redis)} µs, ${trips} round trips\n`,
  );
  await within("the last sessions", running.end(), 10_000);
  const failure = running.failure();
  if (failure !== undefined) throw failure;
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
