import { test as anyTest, expect } from "bun:test";
import { newAppId } from "../../src/base/ids.ts";
import { type Engine, ringTotalBytes } from "../../src/engine/engine.ts";
import { redisMissing, TestRedis } from "../support/redis.ts";
import { redisNodes } from "../support/redis-engine.ts";
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
async function open() {
  const redis = await TestRedis.start();
  const nodes = await redisNodes(redis, 2, {}, { leaseMs: 600_000 });
  return {
    ...nodes,
    redis,
    async usedBytes() {
      const text = String(await redis.ask("INFO", "memory"));
      return Number(/^used_memory_dataset:(\d+)/m.exec(text)?.[1]);
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

test("rings are counted, and their time over they are gone, whether or not anybody looks at the room", async () => {
  await using under = await open();
  const before = await under.usedBytes();
  const frame = "x".repeat(megabyte);
  const pairs = await Promise.all(Array.from({ length: 3 }, () => apart(under.engines)));
  for (const { a, one } of pairs) await one.relay.publish(a.seat, frame, "ice");
  const grown = (await under.usedBytes()) - before;
  expect(grown).toBeGreaterThan(2 * megabyte);
  expect((await under.sizes()).ringBytes).toBeGreaterThan(grown / 2);
  under.advance(contractLimits.relayHoldMs * 1.25);
  expect((await under.sizes()).ringBytes).toBe(0);
  expect(await under.redis.ask("KEYS", "*:ring?")).toEqual([]);
});

test("one client's rings take an eighth of what rings may, and its frames arrive all the same", async () => {
  await using under = await open();
  const before = await under.usedBytes();
  const frame = "x".repeat(megabyte);
  for (let n = 0; n < 12; n++) {
    const { a, b, one } = await apart(under.engines);
    expect(await one.relay.publish(a.seat, frame, "ice")).toBe("delivered");
    await b.listener.until(`relayed ${frame}`);
  }
  const share = ringTotalBytes(contractLimits) / 8;
  expect((await under.sizes()).ringBytes).toBeLessThanOrEqual(share);
  expect((await under.usedBytes()) - before).toBeLessThan(2 * share);
});

test("all rings together take no more than ringTotalBytes", async () => {
  await using under = await open();
  const frame = "x".repeat(megabyte);
  const [one, two] = under.engines as [Engine, Engine];
  for (let n = 0; n < 80; n++) {
    const appId = newAppId();
    const a = await join(one, appId, "A", { accounts: [{ key: `192.0.2.${n}`, kind: "client" }] });
    await join(two, appId, "B");
    await one.relay.publish(a.seat, frame, "ice");
  }
  const most = ringTotalBytes(contractLimits);
  const { ringBytes } = await under.sizes();
  expect(ringBytes).toBeGreaterThan(most / 2);
  expect(ringBytes).toBeLessThanOrEqual(most);
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
  expect(await redis.ask("HGETALL", `${nodes.prefix}{rv}:use`)).toEqual({});
});
