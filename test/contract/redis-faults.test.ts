import { afterAll, test as anyTest, describe, expect } from "bun:test";
import { systemClock } from "../../src/base/clock.ts";
import { newAppId } from "../../src/base/ids.ts";
import { EngineUnreachable } from "../../src/engine/engine.ts";
import { checkRedis } from "../../src/engine/redis/primary.ts";
import { startProxy } from "../support/proxy.ts";
import { redisMissing, TestRedis } from "../support/redis.ts";
import { at, redisNodes } from "../support/redis-engine.ts";
import { until, within } from "../support/waiting.ts";
import {
  client,
  code,
  countCodes,
  join,
  mail,
  mint,
  newCode,
  noCodeLimits,
  pair,
  readAll,
  take,
  tryToSit,
} from "./seating.ts";

const test = anyTest.skipIf(redisMissing);

const redis = await TestRedis.start();
afterAll(() => redis[Symbol.asyncDispose]());

describe("an answer that nobody got", () => {
  test("has consumed no code: the same redeem asks again and gets it", async () => {
    await using network = startProxy(redis.port);
    await using nodes = await redisNodes(redis, 1, {}, { redis: at(network.http) });
    const [engine] = nodes.engines;
    const appId = await mint(engine, "1234");
    for (const connection of network.connections) void connection.cutAtNext("toClient", "reset");
    const taken = await engine.codes.guess(code("1234"), [], 0);
    expect(taken).toMatchObject({ outcome: "taken", entry: { appId } });
    expect(await engine.codes.guess(code("1234"), [], 0)).toEqual({ outcome: "gone" });
  });

  test("has claimed no second code: the same mint asks again and gets the first", async () => {
    await using network = startProxy(redis.port);
    await using nodes = await redisNodes(redis, 1, {}, { redis: at(network.http) });
    const [engine] = nodes.engines;
    for (const connection of network.connections) void connection.cutAtNext("toClient", "reset");
    const claim = await engine.codes.claim([code("1234")], newCode(), noCodeLimits);
    expect(claim).toMatchObject({ outcome: "claimed", code: code("1234") });
    await until("readiness", async () => (await engine.ready()) === undefined);
    expect(await countCodes(engine)).toEqual({ live: 1, resting: 0 });
  });
});

test("nodes that start beside a busy one disturb none of its calls", async () => {
  await using own = await TestRedis.start();
  await using nodes = await redisNodes(own, 1);
  let starting = true;
  const starts = Promise.all(
    Array.from({ length: 4 }, async () => {
      for (let start = 0; start < 100; start++) await checkRedis(at(own.url), 2_000);
    }),
  ).finally(() => {
    starting = false;
  });
  while (starting) {
    const guess = await nodes.engines[0].codes.guess(code("1234"), [], 0);
    expect(guess).toEqual({ outcome: "gone" });
  }
  await starts;
});

describe("a Redis that hangs", () => {
  test("keeps nobody waiting past the deadline, and does nothing late", async () => {
    await using own = await TestRedis.start();
    await using nodes = await redisNodes(own, 1, {}, { timeoutMs: 300 });
    const [engine] = nodes.engines;
    await mint(engine, "1234");
    const { a } = await pair(engine);
    own.signal("SIGSTOP");
    const asked = [
      take(engine, "1234"),
      engine.codes.claim([code("5678")], newCode(), noCodeLimits),
      engine.mailboxes.append(a.seat, "B", mail("late")),
    ];
    const answers = await within("every answer", Promise.allSettled(asked));
    for (const answer of answers) {
      expect(answer).toMatchObject({ status: "rejected", reason: expect.any(EngineUnreachable) });
    }
    await until("no readiness", async () => (await engine.ready()) !== undefined);
    expect(await engine.ready()).toContain("unreachable");
    own.signal("SIGCONT");
    await until("the engine to be ready", async () => (await engine.ready()) === undefined);
    expect(await countCodes(engine)).toEqual({ live: 1, resting: 0 });
    expect(await take(engine, "1234")).toBeDefined();
    await engine.sweep();
    expect(engine.sizes()).toMatchObject({ mails: 0 });
  });

  test("costs no memory however much is asked of it", async () => {
    await using own = await TestRedis.start();
    await using nodes = await redisNodes(own, 1, {}, { timeoutMs: 500 });
    const [engine] = nodes.engines;
    own.signal("SIGSTOP");
    const asks = Array.from({ length: 30_000 }, (_, i) =>
      Promise.resolve(take(engine, String(i))).catch(() => "unreachable"),
    );
    const answers = await within("every answer", Promise.all(asks));
    expect(new Set(answers)).toEqual(new Set(["unreachable"]));
    own.signal("SIGCONT");
  });
});

describe("messages that got lost", () => {
  test("frames come in order and once though the listener's connection is cut again and again", async () => {
    await using nodes = await redisNodes(redis, 2, {}, { leaseMs: 3_000 });
    const [one, two] = nodes.engines;
    if (two === undefined) throw new Error("no second node");
    const appId = newAppId();
    const a = await join(one, appId, "A");
    const b = await join(two, appId, "B");
    await a.listener.until("peerJoined");
    const frames = Array.from({ length: 300 }, (_, n) => `frame ${n}`);
    for (const [n, frame] of frames.entries()) {
      if (n % 60 === 30) await redis.cutReaders();
      expect(await one.relay.publish(a.seat, frame, "ice")).toBe("delivered");
      if (n % 60 === 45)
        await until("both to hear again", async () => !(await one.ready()) && !(await two.ready()));
    }
    const heard: string[] = [];
    while (heard.length < frames.length) {
      heard.push(
        ...(await b.listener.until(`relayed ${frames.at(-1)}`)).filter((text) =>
          text.startsWith("relayed"),
        ),
      );
      heard.push(`relayed ${frames.at(-1)}`);
    }
    expect(heard).toEqual(frames.map((frame) => `relayed ${frame}`));
    expect(b.listener.unheard).not.toContain("relayed frame 299");
  });
});

describe("a Redis that is full", () => {
  /** Nothing that adds to it fits any more, until `free`. */
  async function fill(own: TestRedis): Promise<void> {
    await own.ask("CONFIG", "SET", "maxmemory-policy", "noeviction");
    await own.ask("SET", "ballast", "x".repeat(1_000_000));
    await own.ask("CONFIG", "SET", "maxmemory", "1");
  }
  const free = (own: TestRedis) => own.ask("CONFIG", "SET", "maxmemory", "0");

  test("keeps the pairs it has, gives codes out and seats back, and refuses what would add", async () => {
    await using own = await TestRedis.start();
    const told: string[] = [];
    const store = { refused: (kind: string) => told.push(kind) };
    await using nodes = await redisNodes(own, 2, {}, { leaseMs: 900, store });
    const [one, two] = nodes.engines;
    if (two === undefined) throw new Error("no second node");
    await mint(one, "1234");
    const appId = newAppId();
    const a = await join(one, appId, "A");
    const b = await join(two, appId, "B");
    await a.listener.until("peerJoined");
    await one.mailboxes.append(a.seat, "B", mail("before"));

    await fill(own);
    const leases = () => own.ask("ZRANGE", `${nodes.prefix}2:nodes`, "0", "-1", "WITHSCORES");
    for (let renewals = 0; renewals < 4; renewals++) {
      const before = JSON.stringify(await leases());
      await until("a renewal", async () => JSON.stringify(await leases()) !== before);
    }
    expect(await readAll(two, b.seat)).toEqual(["1 before"]);
    await two.mailboxes.ack(b.seat, 1);
    expect(await take(two, "1234")).toBeDefined();
    expect(await two.seats.leave(b.seat)).toBe(true);
    await a.listener.until("peerLeft");
    const again = await join(two, appId, "B");
    await a.listener.until("peerJoined");
    expect(told).toEqual([]);

    expect(mint(one, "5678")).rejects.toBeInstanceOf(EngineUnreachable);
    expect(tryToSit(one, newAppId(), "A")).rejects.toBeInstanceOf(EngineUnreachable);
    expect(await one.mailboxes.append(a.seat, "B", mail("more"))).toEqual({ outcome: "full" });
    expect(await one.relay.publish(a.seat, "frame", "ice")).toBe("hold_full");
    expect(new Set(told)).toEqual(new Set(["full"]));
    expect([a, again].flatMap(({ listener }) => listener.unheard)).not.toContain("cutOff");
    expect([await one.ready(), one.warning()]).toEqual([undefined, expect.stringMatching(/full/)]);

    await free(own);
    await mint(one, "5678");
    expect(one.warning()).toBeUndefined();
    expect(await one.relay.publish(a.seat, "frame", "ice")).toBe("delivered");
    expect(await one.mailboxes.append(a.seat, "B", mail("more"))).toMatchObject({ seq: 2 });
  });
});

test("a hello for which a full Redis cannot even load the rules gives the seat up", async () => {
  await using own = await TestRedis.start();
  await using nodes = await redisNodes(own, 1);
  const [engine] = nodes.engines;
  const { seat, listener } = await join(engine, newAppId(), "A");
  await own.ask("CONFIG", "SET", "maxmemory", "1");
  await own.ask("FUNCTION", "FLUSH");
  expect(engine.mailboxes.hello(seat, 0)).rejects.toBeInstanceOf(EngineUnreachable);
  await listener.until("cutOff");
});

test("a pair whose room a full Redis has lost is whole as soon as there is space", async () => {
  await using own = await TestRedis.start();
  await using nodes = await redisNodes(own, 2, {}, { leaseMs: 600 });
  const [one, two = one] = nodes.engines;
  const appId = newAppId();
  const a = await join(one, appId, "A");
  const b = await join(two, appId, "B");
  await a.listener.until("peerJoined");
  await own.ask("CONFIG", "SET", "maxmemory", "1");
  await own.ask("FLUSHALL");
  await until(
    "both to be refused",
    () => one.warning() !== undefined && two.warning() !== undefined,
  );
  await own.ask("CONFIG", "SET", "maxmemory", "0");
  await Promise.all([a, b].map(({ listener }) => listener.until("peerJoined")));
  // Held at first, if the other side's node has not looked at its seat yet.
  await one.relay.publish(a.seat, "frame", "ice");
  await b.listener.until("relayed frame");
});

test("what was held for a seat whose lease had ended comes when the seat is taken anew", async () => {
  // Nothing is renewed, as on a node that was stopped for a while.
  const clock = { ...systemClock, every: () => () => {} };
  await using slow = await redisNodes(redis, 1, {}, { leaseMs: 100, clock });
  await using sound = await redisNodes(redis, 1, {}, { prefix: slow.prefix });
  const [[one], [two]] = [sound.engines, slow.engines];
  const appId = newAppId();
  const a = await join(one, appId, "A");
  const b = await join(two, appId, "B");
  await a.listener.until("peerJoined");
  await until("the end of the lease", async () => {
    return (await one.relay.publish(a.seat, "held", "ice")) === "held";
  });
  await a.listener.until("peerLeft");
  await two.mailboxes.ack(b.seat, 0);
  await a.listener.until("peerJoined");
  expect(await one.relay.publish(a.seat, "next", "ice")).toBe("delivered");
  expect(await b.listener.until("relayed next")).toContain("relayed held");
});

test("a pair on one node goes on as a pair, though its lease had ended", async () => {
  const clock = { ...systemClock, every: () => () => {} };
  await using slow = await redisNodes(redis, 1, {}, { leaseMs: 100, clock });
  await using sound = await redisNodes(redis, 1, {}, { prefix: slow.prefix });
  const [[one], [two]] = [sound.engines, slow.engines];
  const { appId, a, b } = await pair(two);
  const isThere = async () => (await one.rooms.allowsIce(appId, "A", false)) === "granted";
  await until("the end of the lease", async () => !(await isThere()));
  await until("its seat again", isThere);
  expect(await two.relay.publish(a.seat, "frame", "ice")).toBe("delivered");
  expect(b.listener.unheard).toContain("relayed frame");
  expect([...a.listener.unheard, ...b.listener.unheard]).not.toContain("peerLeft");
});

describe("connections to two servers behind one name", () => {
  test("are not readiness: both connect anew, to one", async () => {
    await using first = await TestRedis.start();
    await using second = await TestRedis.start();
    await using network = startProxy(first.port);
    const faults: string[] = [];
    const store = { failed: ({ kind }: { kind: string }) => faults.push(kind) };
    const options = { redis: at(network.http), timeoutMs: 1_500, store };
    await using nodes = await redisNodes(first, 2, {}, options);
    const [one, two] = nodes.engines;
    if (two === undefined) throw new Error("no second node");
    network.redirect(second.port);
    await first.cutReaders();
    await until("the fault to be found", () => faults.includes("several servers"));
    for (const node of [one, two]) {
      await until("readiness", async () => (await node.ready()) === undefined);
    }
    const appId = newAppId();
    const a = await join(one, appId, "A");
    await join(two, appId, "B");
    await a.listener.until("peerJoined");
    expect(await second.ask("EXISTS", `${nodes.prefix}2:{${appId}}`)).toBe(1);
  });
});

describe("a probe of a seat on another node", () => {
  test("waits for an occupant that takes its time, since the node says that it is asking", async () => {
    await using nodes = await redisNodes(redis, 2);
    const [one, two] = nodes.engines;
    if (two === undefined) throw new Error("no second node");
    const { seat, listener } = await join(one, newAppId(), "A");
    // Longer than a node that says nothing is waited for.
    listener.alive = () => Bun.sleep(2_000).then(() => true);
    expect(await two.seats.probe(seat.appId, "A", seat.token)).toBe("alive");
  });
});

describe("a seat", () => {
  test("of a node that says nothing any more is free when its lease ends, and the peer hears it", async () => {
    await using nodes = await redisNodes(redis, 2, {}, { leaseMs: 800 });
    await using dying = await redisNodes(
      redis,
      1,
      {},
      { leaseMs: 800, prefix: nodes.prefix, clock: stopped() },
    );
    const [one, two] = nodes.engines;
    if (two === undefined) throw new Error("no second node");
    const appId = newAppId();
    const a = await join(dying.engines[0], appId, "A");
    const b = await join(one, appId, "B");
    expect((await tryToSit(two, appId, "A")).answer).toEqual({
      outcome: "busy",
      token: a.seat.token,
    });
    await two.mailboxes.append((await join(two, newAppId(), "A")).seat, "B", mail("elsewhere"));
    await b.listener.until("peerLeft");
    expect((await tryToSit(two, appId, "A")).answer.outcome).toBe("taken");
    await b.listener.until("peerJoined");
  });

  test("of a node with many is free as soon, and each peer hears it", async () => {
    await using nodes = await redisNodes(redis, 1, {}, { leaseMs: 2_000 });
    const { prefix } = nodes;
    // Long enough for all to come, also on a busy machine: it is never renewed.
    const lease = { leaseMs: 2_000, clock: stopped() };
    await using dying = await redisNodes(redis, 1, {}, { ...lease, prefix });
    const peers = await Promise.all(
      Array.from({ length: 300 }, async () => {
        const appId = newAppId();
        await join(dying.engines[0], appId, "A");
        return join(nodes.engines[0], appId, "B");
      }),
    );
    await Promise.all(peers.map(({ listener }) => listener.until("peerLeft")));
  });

  test("whose room was flushed is taken anew, hears its peer, and mail goes on by its numbers", async () => {
    await using nodes = await redisNodes(redis, 2, {}, { leaseMs: 600 });
    const [one, two] = nodes.engines;
    if (two === undefined) throw new Error("no second node");
    const { engines } = nodes;
    const appId = newAppId();
    const a = await join(one, appId, "A");
    const b = await join(two, appId, "B");
    await a.listener.until("peerJoined");
    for (const payload of ["1", "2", "3"]) await one.mailboxes.append(a.seat, "B", mail(payload));
    expect(await readAll(two, b.seat)).toHaveLength(3);
    await redis.ask("FLUSHALL");
    await a.listener.until("peerJoined");
    await b.listener.until("peerJoined");
    await one.relay.publish(a.seat, "frame", "ice");
    await b.listener.until("relayed frame");
    expect(await one.mailboxes.append(a.seat, "B", mail("4"))).toMatchObject({ seq: 4 });
    expect(await readAll(two, b.seat, 3)).toEqual(["4 4"]);
    expect(engines).toHaveLength(2);
  });

  test("whose peer's was taken by another while their node was cut off is kept: it is asked for first", async () => {
    // Far enough away that its lease is looked at while Redis is being asked for it.
    await using network = startProxy(redis.port, 30);
    const options = { leaseMs: 2_000, timeoutMs: 1_000 };
    await using others = await redisNodes(redis, 1, {}, options);
    const away = { ...options, prefix: others.prefix, redis: at(network.http) };
    await using nodes = await redisNodes(redis, 1, {}, away);
    const [[one], [two]] = [nodes.engines, others.engines];
    const appId = newAppId();
    const a = await join(one, appId, "A");
    const b = await join(one, appId, "B");
    network.down("silent");
    const isTaken = async () => (await tryToSit(two, appId, "A")).answer.outcome === "taken";
    await until("the lease to be over", isTaken);
    network.resetSilent();
    network.up();
    await a.listener.until("replaced dead");
    expect(await b.listener.until("peerJoined")).not.toContain("cutOff");
  });
});

test("a room that is flushed and taken anew at once gives out no token twice", async () => {
  await using nodes = await redisNodes(redis, 1);
  const [engine] = nodes.engines;
  const appId = newAppId();
  const tokens: number[] = [];
  for (let i = 0; i < 50; i++) {
    tokens.push((await join(engine, appId, "A")).seat.token);
    await redis.ask("DEL", `${nodes.prefix}2:{${appId}}`);
  }
  expect(new Set(tokens).size).toBe(tokens.length);
});

test("a turn that fails half-way changes nothing", async () => {
  await using nodes = await redisNodes(redis, 1);
  const [engine] = nodes.engines;
  const { appId, a, b } = await pair(engine);
  // As another program might write it: it is no list.
  const list = `${nodes.prefix}2:{${appId}}:mailB`;
  await redis.ask("SET", list, "not ours", "PX", "60000");
  expect(engine.mailboxes.append(a.seat, "B", mail("1"))).rejects.toBeInstanceOf(EngineUnreachable);
  // Its sender is sent away.
  await b.listener.until("peerLeft");
  await engine.sweep();
  expect(engine.sizes()).toMatchObject({ mailboxes: 0, mails: 0, mailBytes: 0 });
});

describe("keys", () => {
  test("all carry a time to live, whatever has been done", async () => {
    await using nodes = await redisNodes(redis, 2);
    const [one, two] = nodes.engines;
    if (two === undefined) throw new Error("no second node");
    await mint(one, "1234", { accounts: client("c") });
    await mint(one, "5678", { accounts: client("c") });
    await two.codes.guess(code("1234"), client("me"), 3);
    await two.codes.guess(code("0000"), client("me"), 3);
    const appId = newAppId();
    const a = await join(one, appId, "A");
    const b = await join(two, appId, "B");
    await one.relay.publish(a.seat, "ring", "ice");
    await one.mailboxes.append(a.seat, "B", mail("1", "id"));
    await two.seats.leave(b.seat);
    await one.relay.publish(a.seat, "held", "ice");
    const back = await join(one, appId, "A", { how: { dead: a.seat.token } });
    await one.relay.publish(back.seat, "held anew", "offer");
    await one.seats.leave(back.seat);
    await join(two, newAppId(), "B");
    expect(await keysWithoutEnd(nodes.prefix)).toEqual([]);
    expect((await keysOf(nodes.prefix)).length).toBeGreaterThan(10);
  });
});

test("functions that Redis has forgotten are sent again", async () => {
  await using nodes = await redisNodes(redis, 1);
  const [engine] = nodes.engines;
  await redis.ask("FUNCTION", "FLUSH");
  await mint(engine, "1234");
  expect(await take(engine, "1234")).toBeDefined();
});

async function keysOf(prefix: string, about = ""): Promise<string[]> {
  return (await redis.ask("KEYS", `${prefix}*${about}*`)) as string[];
}

async function keysWithoutEnd(prefix: string): Promise<string[]> {
  const keys = await keysOf(prefix);
  const ttls = await Promise.all(keys.map((key) => redis.ask("PTTL", key)));
  return keys.filter((_, i) => Number(ttls[i]) < 0 && Number(ttls[i]) !== -2);
}

/** A clock whose ticking timers never fire: whoever has it renews nothing. */
function stopped() {
  return { ...systemClock, every: () => () => {} };
}

test("a primary that becomes a replica is not ready, and is again when it is a primary", async () => {
  await using own = await TestRedis.start();
  await using primary = await TestRedis.start();
  await using nodes = await redisNodes(own, 1, {}, { timeoutMs: 400 });
  const [engine] = nodes.engines;
  await own.ask("REPLICAOF", "127.0.0.1", String(primary.port));
  expect(mint(engine, "1234")).rejects.toBeInstanceOf(EngineUnreachable);
  await until("no readiness", async () => (await engine.ready()) !== undefined);
  await own.ask("REPLICAOF", "NO", "ONE");
  await until("readiness", async () => (await engine.ready()) === undefined);
  await mint(engine, "1234");
});

test("a side that moves to its peer's node in the midst of frames hears them in order and once", async () => {
  await using nodes = await redisNodes(redis, 2);
  const [one, two] = nodes.engines;
  if (two === undefined) throw new Error("no second node");
  const appId = newAppId();
  const a = await join(one, appId, "A");
  let b = await join(two, appId, "B", { sid: "b" });
  await a.listener.until("peerJoined");
  let n = 0;
  const sent: Promise<unknown>[] = [];
  const send = () => sent.push(Promise.resolve(one.relay.publish(a.seat, String(n++), "ice")));
  const heard: string[] = [];
  for (const node of [one, two, one, one, two]) {
    for (let i = 0; i < 50; i++) send();
    const moved = join(node, appId, "B", { sid: "b", how: { dead: b.seat.token } });
    for (let i = 0; i < 50; i++) {
      send();
      await Bun.sleep(0);
    }
    const before = b.listener.unheard;
    b = await moved;
    await a.listener.until("peerJoined");
    send();
    await Promise.all(sent);
    heard.push(...before);
    await b.listener.until(`relayed ${n - 1}`).then((events) => heard.push(...events));
    heard.push(`relayed ${n - 1}`);
  }
  const numbers = heard
    .filter((text) => text.startsWith("relayed"))
    .map((text) => Number(text.slice(8)));
  expect(numbers).toEqual([...new Set(numbers)].toSorted((x, y) => x - y));
  expect(numbers.length).toBeGreaterThan(250);
});
