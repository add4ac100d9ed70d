import { afterAll, test as anyTest, describe, expect } from "bun:test";
import { newAppId } from "../../src/base/ids.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { redisMissing, TestRedis } from "../support/redis.ts";
import { redisNodes } from "../support/redis-engine.ts";
import { until } from "../support/waiting.ts";
import { join, mail, mint, pair, readAll, take, tryToSit } from "./seating.ts";

const test = anyTest.skipIf(redisMissing);

const redis = await TestRedis.start();
afterAll(() => redis[Symbol.asyncDispose]());

/** Two nodes on a Redis that can be made older than it was; leases last far longer than a test. */
async function twoNodes() {
  const nodes = await redisNodes(redis, 2, {}, { timeoutMs: 1_000 });
  const [one, two] = nodes.engines as [Engine, Engine];
  return {
    ...nodes,
    one,
    two,
    /** Redis forgets what was written since `SAVE`; both nodes have found it again. */
    async goBack() {
      await redis.goBack();
      for (const node of nodes.engines) {
        await until("a node to find Redis again", async () => (await node.ready()) === undefined);
      }
    },
  };
}

/** Side A on one node and side B on another, in a room that is in the file. */
async function pairApart({ one, two }: Awaited<ReturnType<typeof twoNodes>>) {
  const appId = newAppId();
  const a = await join(one, appId, "A", { sid: "a" });
  const b = await join(two, appId, "B", { sid: "b" });
  await a.listener.until("peerJoined");
  await redis.ask("SAVE");
  return { appId, a, b };
}

describe("a Redis that comes back older than it was", () => {
  test("gives no seq again that was answered to a mail sent twice, on another connection", async () => {
    await using nodes = await twoNodes();
    const { one, two } = nodes;
    const { appId, a } = await pairApart(nodes);
    const stored = { outcome: "stored", seq: 1 };
    expect(await one.mailboxes.append(a.seat, "B", mail("1", "x"))).toMatchObject(stored);
    await one.seats.leave(a.seat);
    const again = await join(two, appId, "A", { sid: "a" });
    expect(await two.mailboxes.append(again.seat, "B", mail("1", "x"))).toMatchObject(stored);
    await nodes.goBack();
    const next = await two.mailboxes.append(again.seat, "B", mail("2", "y"));
    expect(next).toMatchObject({ outcome: "stored", seq: 2 });
  });

  test("delivers each mail stored after that, in order, above what the reader has seen", async () => {
    await using nodes = await twoNodes();
    const { one, two } = nodes;
    const { a, b } = await pairApart(nodes);
    for (const payload of ["1", "2", "3"]) {
      await one.mailboxes.append(a.seat, "B", mail(payload));
      await b.listener.until("mailStored");
    }
    expect(await readAll(two, b.seat)).toEqual(["1 1", "2 2", "3 3"]);
    await two.mailboxes.ack(b.seat, 2);
    await nodes.goBack();
    for (const payload of ["4", "5", "6"]) {
      expect(await one.mailboxes.append(a.seat, "B", mail(payload))).toMatchObject({
        outcome: "stored",
      });
    }
    await b.listener.until("mailStored");
    expect(await readAll(two, b.seat, 3)).toEqual(["4 4", "5 5", "6 6"]);
    await two.mailboxes.ack(b.seat, 6);
    expect(await readAll(two, b.seat)).toEqual([]);
  });

  test("keeps for a later connection what was stored after that", async () => {
    await using nodes = await twoNodes();
    const { one, two } = nodes;
    const { appId, a, b } = await pairApart(nodes);
    await one.mailboxes.append(a.seat, "B", mail("forgotten"));
    expect(await readAll(two, b.seat)).toEqual(["1 forgotten"]);
    await nodes.goBack();
    await one.mailboxes.append(a.seat, "B", mail("kept"));
    const again = await join(two, appId, "B", { sid: "b", how: { dead: b.seat.token } });
    await two.mailboxes.hello(again.seat, 1);
    expect(await readAll(two, again.seat, 1)).toEqual(["2 kept"]);
  });

  test("gives out no seq that a sender was answered", async () => {
    await using nodes = await twoNodes();
    const { one } = nodes;
    const { a } = await pairApart(nodes);
    for (const payload of ["1", "2", "3"]) await one.mailboxes.append(a.seat, "B", mail(payload));
    await nodes.goBack();
    const stored = await one.mailboxes.append(a.seat, "B", mail("4"));
    expect(stored).toEqual({ outcome: "stored", seq: 4 });
  });

  test("relays each frame that is sent after that, after a new peerJoined for those it lost", async () => {
    await using nodes = await twoNodes();
    const { one } = nodes;
    const { a, b } = await pairApart(nodes);
    for (let n = 0; n < 20; n++) await one.relay.publish(a.seat, `before ${n}`, "ice");
    await b.listener.until("relayed before 19");
    await nodes.goBack();
    for (let n = 0; n < 20; n++) await one.relay.publish(a.seat, `after ${n}`, "ice");
    const heard = [...(await b.listener.until("relayed after 19")), "relayed after 19"];
    const frames = heard.filter((event) => event.startsWith("relayed"));
    expect(frames).toEqual(Array.from({ length: 20 }, (_, n) => `relayed after ${n}`));
    if (!heard.includes("peerJoined")) await b.listener.until("peerJoined");
  });

  test("leaves the holder of a seat in it, whatever of its arrival was forgotten", async () => {
    await using nodes = await twoNodes();
    const { one, two } = nodes;
    const appId = newAppId();
    const a = await join(one, appId, "A");
    await redis.ask("SAVE");
    const b = await join(two, appId, "B");
    await a.listener.until("peerJoined");
    await nodes.goBack();
    await b.listener.until("peerJoined");
    await a.listener.until("peerDrained");
    expect(await one.relay.publish(a.seat, "to b", "ice")).not.toBe("replaced");
    const heard = await b.listener.until("relayed to b");
    expect(heard.filter((event) => event.startsWith("replaced"))).toEqual([]);
    expect(await two.relay.publish(b.seat, "to a", "ice")).toBe("delivered");
    await a.listener.until("relayed to a");
    expect((await tryToSit(one, appId, "B")).answer).toEqual({
      outcome: "busy",
      token: b.seat.token,
    });
  });

  test("gives a seat to whom has it, though it was taken over in what was forgotten", async () => {
    await using nodes = await twoNodes();
    const { one, two } = nodes;
    const { appId, a, b } = await pairApart(nodes);
    const taker = await join(one, appId, "B", { sid: "b", how: "same_sid" });
    await b.listener.until("replaced same_sid");
    await a.listener.until("peerJoined");
    await nodes.goBack();
    await taker.listener.until("peerDrained");
    expect(await one.relay.publish(a.seat, "frame", "ice")).toBe("delivered");
    const heard = await taker.listener.until("relayed frame");
    expect(heard.filter((event) => event.startsWith("replaced"))).toEqual([]);
    expect(await two.seats.leave(b.seat)).toBe(false);
    expect(b.listener.unheard).toEqual([]);
  });

  test("never has two holders of one seat, nor gives a token to a second one", async () => {
    await using nodes = await twoNodes();
    const { one, two } = nodes;
    const appId = newAppId();
    const a = await join(one, appId, "A");
    await redis.ask("SAVE");
    const first = await join(one, appId, "B");
    await redis.goBack();
    // Before its node has looked after its seat, another takes it.
    const second = await tryToSit(two, appId, "B");
    if (second.answer.outcome === "taken") {
      expect(second.answer.seat.token).not.toBe(first.seat.token);
      // Another client than the first one: its connection is cut, and it may come back and wait.
      await first.listener.until("replaced dead");
      expect(await one.relay.publish(a.seat, "frame", "offer")).not.toBe("replaced");
      await two.relay.start(second.answer.seat, false);
      await second.listener.until("relayed frame");
    } else {
      expect(second.answer).toEqual({ outcome: "busy", token: first.seat.token });
    }
  });

  test("has no seat for a holder that left in what was forgotten", async () => {
    await using nodes = await twoNodes();
    const { two } = nodes;
    const { appId, a, b } = await pairApart(nodes);
    await two.seats.leave(b.seat);
    await a.listener.until("peerLeft");
    await nodes.goBack();
    await until("the seat to be free", async () => {
      const { answer } = await tryToSit(two, appId, "B");
      return answer.outcome === "taken";
    });
  });

  test("gives a code twice only where it forgot that it was redeemed", async () => {
    await using nodes = await twoNodes();
    const { one, two } = nodes;
    await mint(one, "1234");
    await mint(one, "5678");
    expect(await take(two, "1234")).toBeDefined();
    await redis.ask("SAVE");
    expect(await take(two, "5678")).toBeDefined();
    await nodes.goBack();
    expect(await take(one, "1234")).toBeUndefined();
    expect(await take(one, "5678")).toBeDefined();
    expect(await take(one, "5678")).toBeUndefined();
  });
});

test("an emptied Redis counts the rooms that come back, and knows that they were redeemed", async () => {
  await using own = await TestRedis.start();
  await using nodes = await redisNodes(own, 1, { maxRooms: 4 });
  const [engine] = nodes.engines;
  const appId = await mint(engine, "0000");
  const a = await join(engine, appId, "A");
  await take(engine, "0000");
  const b = await join(engine, appId, "B");
  await own.ask("FLUSHALL");
  for (const text of ["1111", "2222", "3333", "4444"]) {
    const { seat } = await join(engine, await mint(engine, text), "A");
    await engine.seats.leave(seat);
  }
  for (const { seat } of [a, b]) await engine.mailboxes.read(seat, 0, 1);
  await engine.sweep();
  expect(engine.sizes().rooms).toBeLessThanOrEqual(4);
  expect(await engine.rooms.allowsIce(appId, "A", true)).toBe("granted");
});

test("a seat that an emptied Redis gives to a stranger is lost to a stranger, not to its own client", async () => {
  await using own = await TestRedis.start();
  await using nodes = await redisNodes(own, 1);
  const [engine] = nodes.engines;
  const appId = newAppId();
  const former = await join(engine, appId, "A", { sid: "its own" });
  await own.ask("FLUSHALL");
  await join(engine, appId, "A", { sid: "another" });
  await former.listener.until("replaced dead");
});

test("what is counted for a node that is long gone is no part of what nodes have not read", async () => {
  await using own = await TestRedis.start();
  await using nodes = await redisNodes(own, 1);
  const [engine] = nodes.engines;
  await own.ask("HSET", `${nodes.prefix}2:streams`, "a node long gone", "1000");
  await engine.sweep();
  expect(engine.sizes().streamBytes).toBe(0);
});

test("an ack that found no store is made up for", async () => {
  await using nodes = await twoNodes();
  const { one, two } = nodes;
  const { appId, a, b } = await pairApart(nodes);
  for (const payload of ["1", "2", "3"]) await one.mailboxes.append(a.seat, "B", mail(payload));
  expect(await readAll(two, b.seat)).toHaveLength(3);
  await redis.ask("SAVE");
  await redis.kill();
  await Promise.resolve(two.mailboxes.ack(b.seat, 3)).catch(() => {});
  await redis.run();
  await until("readiness", async () => (await two.ready()) === undefined);
  await two.seats.leave(b.seat);
  const again = await join(two, appId, "B");
  expect(await readAll(two, again.seat)).toEqual([]);
});

test("both sides on one node: a side hears of its peer before the peer's first frame", async () => {
  await using nodes = await redisNodes(redis, 1);
  const [engine] = nodes.engines;
  for (let n = 0; n < 20; n++) {
    const appId = newAppId();
    const a = await join(engine, appId, "A");
    const b = await join(engine, appId, "B");
    await engine.relay.publish(b.seat, "first", "offer");
    expect(await a.listener.until("relayed first")).toEqual(["peerJoined"]);
  }
});

test("rooms that gave way leave nothing behind", async () => {
  await using own = await TestRedis.start();
  await using nodes = await redisNodes(own, 1, { maxRooms: 40 });
  const [engine] = nodes.engines;
  for (let n = 0; n < 200; n++) {
    const { a, b } = await pair(engine);
    await engine.mailboxes.append(a.seat, "B", mail("1", "x".repeat(60)));
    await engine.mailboxes.ack(b.seat, 1);
    for (const { seat } of [a, b]) await engine.seats.leave(seat);
  }
  const keys = (await own.ask("KEYS", "*")) as string[];
  expect(keys.length).toBeLessThan(40 * 6);
  nodes.advance(20_000);
  await engine.sweep();
  const left = ((await own.ask("KEYS", "*")) as string[]).filter((key) => key.includes("{"));
  expect(left).toEqual([]);
});
