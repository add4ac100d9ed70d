import { afterAll, test as anyTest, expect } from "bun:test";
import { newAppId } from "../../src/base/ids.ts";
import { redisMissing, TestRedis } from "../support/redis.ts";
import { redisNodes } from "../support/redis-engine.ts";
import { client, code, join, mail, mint, pair } from "./seating.ts";

const test = anyTest.skipIf(redisMissing);

const redis = await TestRedis.start();
afterAll(() => redis[Symbol.asyncDispose]());

/** What was sent to Redis while `run` ran, per time, leaving out what scripts do inside of it. */
async function roundTrips(times: number, run: (index: number) => Promise<unknown>) {
  await redis.ask("CONFIG", "RESETSTAT");
  for (let i = 0; i < times; i++) await run(i);
  const calls = await redis.calls();
  return (calls.get("fcall") ?? 0) / times;
}

/** Two nodes that renew no leases meanwhile. */
const nodes = await redisNodes(redis, redisMissing ? 0 : 2, {}, { leaseMs: 600_000 });
const [one, two] = nodes.engines as [(typeof nodes.engines)[0], (typeof nodes.engines)[0]];
afterAll(() => nodes[Symbol.asyncDispose]());

test("a mint is one round trip, and a redeem is one, the guess guard included", async () => {
  expect(
    await roundTrips(100, (i) => mint(one, String(1_000 + i), { accounts: client("c") })),
  ).toBe(1);
  const redeem = async (i: number) => two.codes.guess(code(String(1_000 + i)), client("me"), 10);
  expect(await roundTrips(100, redeem)).toBe(1);
});

test("a join is one round trip: whether there is space, and the seat, to which relay has begun then", async () => {
  const trips = await roundTrips(50, async (i) => {
    const appId = newAppId();
    await join(i % 2 ? one : two, appId, "A");
  });
  expect(trips).toBe(1);
});

test("a relayed frame is one round trip between two nodes, those that wait together, and none within one", async () => {
  const appId = newAppId();
  const a = await join(one, appId, "A");
  const b = await join(two, appId, "B");
  const far = await roundTrips(100, async (i) => one.relay.publish(a.seat, `frame ${i}`, "ice"));
  expect(far).toBe(1);
  await b.listener.until("relayed frame 99");
  const together = await roundTrips(1, () =>
    Promise.all(
      Array.from({ length: 64 }, async (_, i) => one.relay.publish(a.seat, `${i}`, "ice")),
    ),
  );
  expect(together).toBe(1);
  const waiting = await roundTrips(1, async () => {
    const first = one.relay.publish(a.seat, "under way", "ice");
    await Promise.resolve();
    const rest = Array.from({ length: 64 }, async (_, i) =>
      one.relay.publish(a.seat, `${i}`, "ice"),
    );
    await Promise.all([first, ...rest]);
  });
  expect(waiting).toBe(2);
  const here = await pair(one);
  const near = await roundTrips(100, async (i) => one.relay.publish(here.a.seat, `${i}`, "ice"));
  expect(near).toBe(0);
});

test("a mail is one round trip to store, and one each to read and to acknowledge", async () => {
  const { a, b } = await pair(one);
  const stored = await roundTrips(100, async (i) =>
    one.mailboxes.append(a.seat, "B", mail(String(i), `id ${i}`)),
  );
  expect(stored).toBe(1);
  expect(await roundTrips(1, async () => one.mailboxes.read(b.seat, 0, 65_536))).toBe(1);
  expect(await roundTrips(1, async () => one.mailboxes.ack(b.seat, 100))).toBe(1);
});

test("between two seats on one node a frame is relayed in the turn in which it is published", async () => {
  const { a, b } = await pair(one);
  // The second side may not know yet that it has its seat.
  const early = await roundTrips(1, async () => one.relay.publish(a.seat, "first", "ice"));
  expect(early).toBe(0);
  await b.listener.until("relayed first");
  expect(one.relay.publish(a.seat, "now", "ice")).toBe("delivered");
  expect(b.listener.unheard).toEqual(["relayed now"]);
});
