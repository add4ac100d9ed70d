import { newAppId } from "../../src/base/ids.ts";
import { join, noCodeLimits } from "../contract/seating.ts";
import { TestRedis } from "../support/redis.ts";
import { redisNodes } from "../support/redis-engine.ts";

// What the engine does on Redis, on this machine: bun test/bench/cluster.ts
// Two nodes in one process, Redis beside it, everything written before it is answered with `durable`.

const durable = process.argv.includes("durable");
await using redis = await TestRedis.start({ durable });
await using nodes = await redisNodes(redis, 2, { maxRooms: 1_000_000 }, { leaseMs: 600_000 });
const [one, two] = nodes.engines as [(typeof nodes.engines)[0], (typeof nodes.engines)[0]];

interface Work {
  readonly name: string;
  readonly under: number;
  readonly times: number;
  readonly run: (index: number) => Promise<unknown>;
}

async function measure({ name, under, times, run }: Work): Promise<void> {
  for (let i = 0; i < Math.min(200, times); i++) await run(-1 - i);
  await redis.ask("CONFIG", "RESETSTAT");
  const tookMs: number[] = [];
  let next = 0;
  const started = performance.now();
  const worker = async () => {
    for (let i = next++; i < times; i = next++) {
      const askedAt = performance.now();
      await run(i);
      tookMs.push(performance.now() - askedAt);
    }
  };
  await Promise.all(Array.from({ length: under }, worker));
  const seconds = (performance.now() - started) / 1_000;
  const calls = await redis.calls();
  tookMs.sort((a, b) => a - b);
  const at = (share: number) => (tookMs[Math.floor(tookMs.length * share)] ?? 0).toFixed(2);
  const rate = Math.round(times / seconds);
  const trips = ((calls.get("evalsha") ?? 0) / times).toFixed(2);
  process.stdout.write(
    `${name}, ${under} under way: ${rate}/s, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, ${trips} round trips\n`,
  );
}

const appId = newAppId();
const a = await join(one, appId, "A");
const b = await join(two, appId, "B");
let arrived = 0;
let wake = () => {};
b.listener.relayed = () => {
  arrived++;
  wake();
  return true;
};
const frame = `{"type":"ice","candidate":"${"x".repeat(220)}"}`;

await measure({
  name: "relay across two nodes, until it has come",
  under: 1,
  times: 5_000,
  run: async () => {
    const came = new Promise<void>((resolve) => {
      wake = resolve;
    });
    await one.relay.publish(a.seat, frame, "ice");
    if (arrived > 0) arrived = 0;
    else await came;
    arrived = 0;
  },
});
const pairs = await Promise.all(
  Array.from({ length: 64 }, async () => {
    const room = newAppId();
    const from = await join(one, room, "A");
    const to = await join(two, room, "B");
    to.listener.relayed = () => true;
    return from;
  }),
);
await measure({
  name: "relay across two nodes",
  under: 64,
  times: 50_000,
  run: async (i) => one.relay.publish((pairs[Math.abs(i) % 64] as typeof a).seat, frame, "ice"),
});
await measure({
  name: "mint and redeem",
  under: 32,
  times: 10_000,
  run: async (i) => {
    const code = String(10_000_000 + i) as Parameters<typeof two.codes.guess>[0];
    const entry = { appId: newAppId(), ttlMs: 60_000, restMs: 60_000, accounts: [] };
    await one.codes.claim([code], entry, { ...noCodeLimits, maxLive: 1e6, maxUsed: 1e6 });
    await two.codes.guess(code, [], 0);
  },
});
await measure({
  name: "join",
  under: 32,
  times: 5_000,
  run: async (i) => {
    const room = newAppId();
    await join(i % 2 ? one : two, room, "A");
  },
});
await measure({
  name: "mail stored, read and acknowledged",
  under: 1,
  times: 3_000,
  run: async (i) => {
    const mail = { payload: `"${"x".repeat(200)}"`, id: `m${i}`, strict: false };
    const stored = await one.mailboxes.append(a.seat, "B", mail);
    const seq = stored.outcome === "stored" ? stored.seq : 0;
    await two.mailboxes.read(b.seat, seq - 1, 65_536);
    await two.mailboxes.ack(b.seat, seq);
  },
});
