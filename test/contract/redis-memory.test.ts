import { test as anyTest, expect } from "bun:test";
import { newAppId } from "../../src/base/ids.ts";
import { type Engine, type EngineLimits, streamTotalBytes } from "../../src/engine/engine.ts";
import { startProxy } from "../support/proxy.ts";
import { redisMissing, TestRedis } from "../support/redis.ts";
import { at, redisNodes } from "../support/redis-engine.ts";
import { until } from "../support/waiting.ts";
import { contractLimits } from "./engine-contract.ts";
import { join, mail, pair } from "./seating.ts";

const test = anyTest.skipIf(redisMissing);

const megabyte = 1_000_000;
const me = [
  { key: "2001:db8:1234:5678::/64", kind: "client" },
  { key: "2001:db8:1234:5600::/56", kind: "customer" },
  { key: "2001:db8:1234::/48", kind: "site" },
] as const;

/** A Redis of its own: what is measured is all that it holds. */
async function open(limits: Partial<EngineLimits> = {}) {
  const redis = await TestRedis.start();
  const nodes = await redisNodes(redis, 2, limits, { leaseMs: 600_000 });
  return {
    ...nodes,
    redis,
    async usedBytes() {
      const text = String(await redis.ask("INFO", "memory"));
      // Of an empty Redis it may be below 0, which Redis writes without a sign.
      return Number(BigInt.asIntN(64, BigInt(/^used_memory_dataset:(\d+)/m.exec(text)?.[1] ?? 0)));
    },
    async sizes() {
      await nodes.engines[0].sweep();
      return nodes.engines[0].sizes();
    },
    async [Symbol.asyncDispose]() {
      await nodes[Symbol.asyncDispose]();
      await redis[Symbol.asyncDispose]();
    },
  };
}

/** Both sides of a room, on two nodes. */
async function apart([one, two]: readonly Engine[]) {
  const appId = newAppId();
  if (one === undefined || two === undefined) throw new Error("Two nodes are needed");
  const a = await join(one, appId, "A", { accounts: me });
  const b = await join(two, appId, "B");
  return { a, b, one };
}

test("mails and ids take no more than twice of what they count, also the only ones of a room", async () => {
  await using under = await open();
  const [engine] = under.engines;
  const seats = await Promise.all(
    Array.from({ length: 500 }, async () => join(engine, newAppId(), "A", { accounts: me })),
  );
  const before = await under.usedBytes();
  const store = (id: string) =>
    Promise.all(seats.map(async ({ seat }) => engine.mailboxes.append(seat, "B", mail("1", id))));
  await store("x".repeat(64));
  const first = (await under.usedBytes()) - before;
  const { mailBytes, idBytes } = await under.sizes();
  expect(first).toBeLessThan(2 * (mailBytes + idBytes));
  for (let n = 0; n < 20; n++) await store("漢".repeat(62) + n);
  const all = (await under.usedBytes()) - before;
  const then = await under.sizes();
  expect(all).toBeLessThan(2 * (then.mailBytes + then.idBytes));
});

test("held frames take no more than twice of what they count", async () => {
  await using under = await open();
  const [engine] = under.engines;
  const rooms = await Promise.all(Array.from({ length: 200 }, () => pair(engine)));
  await Promise.all(rooms.map(({ b }) => engine.seats.leave(b.seat)));
  const before = await under.usedBytes();
  await Promise.all(rooms.map(async ({ a }) => engine.relay.publish(a.seat, "{}", "ice")));
  const grown = (await under.usedBytes()) - before;
  expect(grown).toBeLessThan(2 * (await under.sizes()).heldBytes);
});

test("what a node was told and has read is soon forgotten", async () => {
  await using under = await open();
  const before = await under.usedBytes();
  const frame = "x".repeat(megabyte);
  for (let n = 0; n < 12; n++) {
    const { a, b, one } = await apart(under.engines);
    expect(await one.relay.publish(a.seat, frame, "ice")).toBe("delivered");
    await b.listener.until(`relayed ${frame}`);
  }
  await until("all to be read and forgotten", async () => {
    await Promise.all(under.engines.map((engine) => engine.sweep()));
    return under.engines[0].sizes().streamBytes === 0;
  });
  expect((await under.usedBytes()) - before).toBeLessThan(megabyte);
});

test("a node that does not read fills no Redis: past a bound what it was told is lost, and both sides are told so", async () => {
  const limits = { mailTotalBytes: 64 * megabyte };
  await using under = await open(limits);
  await using network = startProxy(under.redis.port);
  const away = { prefix: under.prefix, redis: at(network.http), timeoutMs: 60_000 };
  await using others = await redisNodes(under.redis, 1, limits, { ...away, leaseMs: 600_000 });
  const [[one], [two]] = [under.engines, others.engines];
  const { a, b } = await apart([one, two]);
  await a.listener.until("peerJoined");
  for (const connection of network.connections) connection.stall("toClient");
  const frame = "x".repeat(megabyte);
  const most = streamTotalBytes({ ...contractLimits, ...limits });
  let streamBytes = 0;
  for (let n = 0; n < 24; n++) {
    expect(await one.relay.publish(a.seat, frame, "ice")).toBe("delivered");
    streamBytes = Math.max(streamBytes, (await under.sizes()).streamBytes);
  }
  expect(streamBytes).toBeGreaterThan(most / 4);
  expect(streamBytes).toBeLessThanOrEqual(most);
  expect(await under.usedBytes()).toBeLessThan(2 * most);
  for (const connection of network.connections) connection.resume("toClient");
  await b.listener.until("peerJoined");
  await a.listener.until("peerJoined");
  await one.relay.publish(a.seat, "after", "ice");
  await b.listener.until("relayed after");
});

test("nothing is left in the sums, nor of any account, when all is forgotten", async () => {
  await using redis = await TestRedis.start();
  await using nodes = await redisNodes(redis, 1);
  const [engine] = nodes.engines;
  for (let n = 0; n < 5; n++) {
    const { a, b } = await pair(engine, newAppId(), me);
    await engine.mailboxes.append(a.seat, "B", mail("1", "id"));
    await engine.mailboxes.append(b.seat, "A", mail("1", "id"));
    await engine.mailboxes.ack(b.seat, 1);
    await engine.seats.leave(b.seat);
    await engine.relay.publish(a.seat, "held", "ice");
    await engine.seats.leave(a.seat);
  }
  nodes.advance(contractLimits.roomTtlMs);
  await engine.sweep();
  expect(await redis.ask("HGETALL", `${nodes.prefix}2:sums`)).toEqual({ "": "0" });
});
