import { afterAll, test as anyTest, expect } from "bun:test";
import { cryptoRandom } from "../../src/base/clock.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { rendezvous } from "../../src/rendezvous/rendezvous.ts";
import { Tally } from "../../src/telemetry/tally.ts";
import { redisMissing, TestRedis } from "../support/redis.ts";
import { redisNodes } from "../support/redis-engine.ts";
import { someClient } from "../support/some-client.ts";
import { client, code, mint } from "./seating.ts";

const test = anyTest.skipIf(redisMissing);

const redis = await TestRedis.start();
afterAll(() => redis[Symbol.asyncDispose]());

function meetingPoint({ codes }: Engine) {
  return rendezvous({
    codes,
    random: cryptoRandom,
    roomTtlMs: 600_000,
    codeDigits: 4,
    codeDigitsMax: 8,
    codesPerClient: 100,
    maxCodes: 1_000_000,
    redeemFailures: 10,
    tally: new Tally(),
  });
}

test("a ledger filled with single misses locks no newcomer, and still knows whom it knew", async () => {
  await using nodes = await redisNodes(redis, 1);
  const [engine] = nodes.engines;
  await engine.codes.guess(code("0000"), client("known"), 2);
  // In ten parts: a Redis that is busy for long counts as one that hangs.
  const fill = `for i = 1, 10000 do redis.call("ZADD", KEYS[1], "9999999999999", ARGV[1] .. i) end return 1`;
  for (const part of "abcdefghij") {
    await redis.ask("EVAL", fill, "1", `${nodes.prefix}2:guessers`, part);
  }
  await mint(engine, "1234");
  for (let i = 0; i < 20; i++) {
    expect(await engine.codes.guess(code("0000"), client("new"), 2)).toEqual({ outcome: "gone" });
  }
  expect(await engine.codes.guess(code("1234"), client("new"), 2)).toMatchObject({
    outcome: "taken",
  });
  await engine.codes.guess(code("0000"), client("known"), 2);
  expect(await engine.codes.guess(code("0000"), client("known"), 2)).toMatchObject({
    outcome: "locked",
  });
});

test("what one node learns of an attack all know at their next sweep; a mint is one round trip during it", async () => {
  await using nodes = await redisNodes(redis, 2);
  const [one, two] = nodes.engines;
  if (two === undefined) throw new Error("no second node");
  for (let i = 0; i < 101; i++) await one.codes.guess(code("0000"), client(`a${i}`), 10);
  expect(one.codes.recentMisses()).toBe(101);
  await two.sweep();
  const { mint: mintCode, guessing } = meetingPoint(two);
  expect(guessing()).toEqual({ recentMisses: 101, shows: true, digits: 6 });
  await redis.ask("CONFIG", "RESETSTAT");
  for (let i = 0; i < 20; i++) {
    const minted = await mintCode({
      ttlMs: undefined,
      client: someClient("me"),
    });
    expect(minted).toMatchObject({ outcome: "minted", code: expect.stringMatching(/^\d{6}$/) });
  }
  const calls = await redis.calls();
  expect(calls.get("fcall")).toBe(20);
});

test("a node that has not heard of an attack yet mints no short code during it", async () => {
  await using nodes = await redisNodes(redis, 2);
  const [one, two] = nodes.engines;
  if (two === undefined) throw new Error("no second node");
  for (let i = 0; i < 101; i++) await one.codes.guess(code("0000"), client(`a${i}`), 10);
  const { mint: mintCode } = meetingPoint(two);
  const who = someClient("me");
  expect(await mintCode({ ttlMs: undefined, client: who })).toMatchObject({
    code: expect.stringMatching(/^\d{6}$/),
  });
});
