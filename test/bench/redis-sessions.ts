import { join } from "node:path";
import { TestRedis } from "../support/redis.ts";
import { within } from "../support/waiting.ts";
import { cpuSeconds } from "./process-facts.ts";
import { startSubject } from "./subject.ts";
import { sessionSlots } from "./workloads/session-slots.ts";

// What a whole session costs a node and its Redis, for "Sizing" in docs/performance.md:
// bun test/bench/redis-sessions.ts

const seconds = 5;

await using redis = await TestRedis.start();
const main = join(import.meta.dir, "../../src/main.ts");
await using node = await startSubject({
  command: [process.execPath, main],
  env: { REDIS_URL: redis.url },
  core: 0,
});
const redisPid = Number(/process_id:(\d+)/.exec(String(await redis.ask("INFO", "server")))?.[1]);
const running = await sessionSlots({ port: node.port, whole: true, slots: 16 });
// Compilers and caches warm up; then what is done in a given time is what is measured.
await Bun.sleep(1_000);
await redis.ask("CONFIG", "RESETSTAT");
const before = { done: running.done(), node: cpuSeconds(node.pid), redis: cpuSeconds(redisPid) };
await Bun.sleep(seconds * 1_000);
const done = running.done() - before.done;
const calls = await redis.calls();
const each = (cpu: number) => ((cpu * 1e6) / done).toFixed(0);
const trips = ((calls.get("evalsha") ?? 0) / done).toFixed(1);
process.stdout.write(
  `${(done / seconds).toFixed(0)} sessions a second; of each, CPU of the node ` +
    `${each(cpuSeconds(node.pid) - before.node)} µs, of Redis ` +
    `${each(cpuSeconds(redisPid) - before.redis)} µs, ${trips} round trips\n`,
);
await within("the last sessions", running.end(), 10_000);
const failure = running.failure();
if (failure !== undefined) throw failure;
