import { expect, test } from "bun:test";
import { cryptoRandom, type Random } from "../../src/base/clock.ts";
import { type Code, parseAppId, parseCode } from "../../src/base/ids.ts";
import { memoryEngine } from "../../src/engine/memory/memory.ts";
import {
  type RendezvousClient,
  type RendezvousOptions,
  rendezvous,
} from "../../src/rendezvous/rendezvous.ts";
import { Tally } from "../../src/telemetry/tally.ts";

const roomTtlMs = 600_000;
const me = client("192.0.2.1");

/** Who mints and redeems, told apart by name. */
function client(key: string, shared = false): RendezvousClient {
  return { accounts: [{ key, kind: shared ? "shared" : "client" }], shared } as const;
}

/** A rendezvous over a memory engine whose clock only the test moves. */
function meetingPoint(options: Partial<RendezvousOptions> = {}) {
  const time = { now: 1_700_000_000_000 };
  const tally = new Tally();
  const engine = memoryEngine({
    now: () => time.now,
    limits: {
      roomTtlMs,
      redeemWindowMs: 60_000,
      relayHoldMs: 10_000,
      maxRooms: 100,
      holdMaxFrames: 1,
      holdMaxBytes: 1,
      mailboxMaxMails: 1,
      mailboxMaxBytes: 1,
      mailTotalBytes: 1,
    },
    dropped: () => undefined,
  });
  const {
    mint,
    redeem: redeemAs,
    guessing,
  } = rendezvous({
    codes: engine.codes,
    random: cryptoRandom,
    roomTtlMs,
    minDigits: 4,
    maxDigits: 8,
    maxPerClient: 0,
    maxCodes: 1_000_000,
    redeemFailures: 0,
    tally,
    ...options,
  });
  async function minted(ttlMs?: number, by = me) {
    const answer = await mint({ ttlMs, client: by });
    if (answer.outcome !== "minted") throw new Error(`No code was minted: ${answer.outcome}.`);
    return answer;
  }
  /** The entry of the code; undefined when it is gone. */
  async function redeem(code: Code, by = me) {
    const guess = await redeemAs(code, by);
    if (guess.outcome === "locked" || guess.outcome === "withdrawn") throw new Error(guess.outcome);
    return guess.outcome === "taken" ? guess.entry : undefined;
  }
  return { engine, tally, time, mint, minted, redeem, redeemAs, guessing };
}

/** Draws the given numbers in turn, over and over. */
function scripted(...numbers: number[]): Random {
  let drawn = 0;
  return () => numbers[drawn++ % numbers.length] as number;
}

test("a minted code is four digits and names a room of its own", async () => {
  const { minted, redeem } = meetingPoint();
  const first = await minted();
  const second = await minted();
  expect(parseCode(first.code)).toBe(first.code);
  expect(first.code).toHaveLength(4);
  expect(parseAppId(first.appId)).toBe(first.appId);
  expect(first.appId).not.toBe(second.appId);
  expect(await redeem(first.code)).toMatchObject({ appId: first.appId });
  expect(await redeem(second.code)).toMatchObject({ appId: second.appId });
});

test("in memory neither minting nor redeeming costs a promise", () => {
  const { mint, redeemAs } = meetingPoint({ random: scripted(2802) });
  expect(mint({ ttlMs: undefined, client: me })).toMatchObject({ code: "2802" });
  expect(redeemAs("2802" as Code, me)).toMatchObject({ entry: { expiresAt: 1_700_000_600_000 } });
});

test("a code is redeemed once", async () => {
  const { minted, redeem } = meetingPoint();
  const { code } = await minted();
  expect(await redeem(code)).toBeDefined();
  expect(await redeem(code)).toBeUndefined();
});

test("of 32 that race to redeem a code exactly one wins, 200 times over", async () => {
  const { minted, redeem } = meetingPoint();
  for (let round = 0; round < 200; round++) {
    const { code, appId } = await minted();
    const racers = Array.from({ length: 32 }, async () => await redeem(code));
    const entries = await Promise.all(racers);
    const won = entries.filter((entry) => entry !== undefined);
    expect(won.map((entry) => entry.appId)).toEqual([appId]);
  }
});

test("a code lives to the very millisecond", async () => {
  const { minted, redeem, time } = meetingPoint();
  const start = time.now;
  const [early, late] = [await minted(), await minted()];
  expect(early.expiresAt).toBe(start + roomTtlMs);
  time.now = early.expiresAt - 1;
  expect(await redeem(early.code)).toBeDefined();
  time.now = late.expiresAt;
  expect(await redeem(late.code)).toBeUndefined();
});

test("a code lives as long as wished, from a second up to the room's time", async () => {
  const { minted, time } = meetingPoint();
  const livesMs = async (ttlMs?: number) => (await minted(ttlMs)).expiresAt - time.now;
  expect(await livesMs()).toBe(600_000);
  expect(await livesMs(90_000)).toBe(90_000);
  expect(await livesMs(1_500.6)).toBe(1_501);
  expect(await livesMs(1)).toBe(1_000);
  expect(await livesMs(600_001)).toBe(600_000);
  expect(await livesMs(Number.POSITIVE_INFINITY)).toBe(600_000);
});

test("a used or expired code is nobody's for as long as a room lives, then free again", async () => {
  const random = scripted(7, 7, 8, 7);
  const { engine, minted, redeem, time } = meetingPoint({ random, maxDigits: 4 });
  const { code } = await minted(1_000);
  expect(code).toBe("0007" as Code);
  await redeem(code);
  time.now += roomTtlMs - 1;
  expect((await minted(1_000)).code).toBe("0008" as Code);
  time.now += 1;
  expect(engine.sizes()).toMatchObject({ codesLive: 1, codesResting: 0 });
  expect((await minted(1_000)).code).toBe("0007" as Code);
});

test("a sweep forgets what expired and rested, without anyone asking for it", async () => {
  const { engine, minted, redeem, time } = meetingPoint();
  for (let i = 0; i < 50; i++) await minted(undefined, client(`${i}`));
  await redeem((await minted(undefined, client("50"))).code);
  engine.sweep();
  expect(engine.sizes()).toMatchObject({ codesLive: 50, codesResting: 1, codeClients: 51 });
  time.now += roomTtlMs;
  engine.sweep();
  expect(engine.sizes()).toMatchObject({ codesLive: 0, codesResting: 50, codeClients: 50 });
  time.now += roomTtlMs;
  engine.sweep();
  expect(engine.sizes()).toMatchObject({ codesLive: 0, codesResting: 0, codeClients: 0 });
});

test("every code is equally likely: each number drawn is just one code", async () => {
  const spaces = new Set<number>();
  let next = 0;
  const random: Random = (below) => {
    spaces.add(below);
    return next++;
  };
  const { minted, time } = meetingPoint({ random });
  const codes = new Set<Code>();
  for (let i = 0; i < 10_000; i++) {
    codes.add((await minted()).code);
    time.now += 2 * roomTtlMs;
  }
  expect([...spaces]).toEqual([10_000]);
  expect(codes.size).toBe(10_000);
  expect([...codes].every((code) => /^[0-9]{4}$/.test(code))).toBe(true);
});

test("real draws are even: the chi-square of 100,000 over 100 classes stays in bounds", () => {
  const seen = new Array<number>(100).fill(0);
  for (let i = 0; i < 100_000; i++) {
    const drawn = Math.floor(cryptoRandom(10_000) / 100);
    seen[drawn] = (seen[drawn] as number) + 1;
  }
  const chiSquare = seen.reduce((sum, count) => sum + (count - 1_000) ** 2 / 1_000, 0);
  // 99 degrees of freedom: past these bounds less than once in 10⁹ runs.
  expect(chiSquare).toBeGreaterThan(33);
  expect(chiSquare).toBeLessThan(210);
});

test("codes grow by a digit when 1 % of a length is live, and shrink again", async () => {
  const { minted, redeem } = meetingPoint();
  const codes: Code[] = [];
  for (let i = 0; i < 1_001; i++) codes.push((await minted()).code);
  expect(codes.slice(0, 100).every(({ length }) => length === 4)).toBe(true);
  expect(codes.slice(100, 1_000).every(({ length }) => length === 5)).toBe(true);
  expect(codes[1_000]).toHaveLength(6);
  for (const code of codes) await redeem(code);
  expect((await minted()).code).toHaveLength(4);
});

test("resting codes count towards the half of a length", async () => {
  const { minted, redeem } = meetingPoint();
  for (let i = 0; i < 5_000; i++) {
    const { code } = await minted();
    if (code.length === 4) await redeem(code);
  }
  expect((await minted()).code).toHaveLength(5);
});

test("16 draws that all meet taken codes lead to the next length", async () => {
  const drawn: number[] = [];
  const random: Random = (below) => {
    drawn.push(below);
    return 42;
  };
  const { minted } = meetingPoint({ random });
  expect((await minted()).code).toBe("0042" as Code);
  drawn.length = 0;
  expect((await minted()).code).toBe("00042" as Code);
  expect(drawn).toEqual([...Array<number>(16).fill(10_000), 100_000]);
});

test("no more candidates are drawn than needed", async () => {
  let draws = 0;
  const { minted } = meetingPoint({ random: () => draws++ });
  await minted();
  expect(draws).toBe(1);
});

test("past the greatest length the codes are full", async () => {
  const { mint, minted } = meetingPoint({ maxDigits: 4, maxCodes: 3 });
  for (let i = 0; i < 3; i++) await minted(undefined, client(`${i}`));
  const refused = await mint({ ttlMs: undefined, client: me });
  expect(refused.outcome).toBe("codes_full");
  expect(refused).toHaveProperty("retryAfterMs", 30_000);
});

test("a client holds only so many codes, and is told when its first is free again", async () => {
  const { mint, minted, redeem, time } = meetingPoint({ maxPerClient: 2 });
  const { code } = await minted(60_000, client("a"));
  await minted(undefined, client("a"));
  expect(await mint({ ttlMs: undefined, client: client("a") })).toEqual({
    outcome: "client_full",
    retryAfterMs: 60_000 + roomTtlMs,
  });
  await minted(undefined, client("b"));
  await redeem(code);
  time.now += roomTtlMs;
  await minted(undefined, client("a"));
});

test("what was minted and redeemed is counted, what was refused is not", async () => {
  const { mint, minted, redeem, tally } = meetingPoint({ maxDigits: 4, maxCodes: 2 });
  const { code } = await minted(undefined, client("a"));
  await minted(undefined, client("b"));
  await mint({ ttlMs: undefined, client: me });
  await redeem(code);
  await redeem(code);
  expect(tally).toMatchObject({ codesMinted: 2, codesRedeemed: 1 });
  expect(tally.codeMisses).toEqual({ 4: 1, 5: 0, 6: 0, 7: 0, 8: 0 });
});

test("a client that misses too often is locked, for right codes too, and others are not", async () => {
  const { minted, redeem, redeemAs, time } = meetingPoint({ redeemFailures: 3 });
  const { code } = await minted();
  const wrong = "99999999" as Code;
  for (let i = 0; i < 3; i++) expect(await redeem(wrong)).toBeUndefined();
  for (const tried of [wrong, code]) {
    expect(await redeemAs(tried, me)).toEqual({ outcome: "locked", retryAfterMs: 60_000 });
  }
  expect(await redeem(wrong, client("b"))).toBeUndefined();
  time.now += 60_000;
  expect(await redeem(code)).toBeDefined();
});

test("a hit gives nothing back: earlier misses stay, and it is no miss itself", async () => {
  const { minted, redeem, redeemAs } = meetingPoint({ redeemFailures: 3 });
  const wrong = "99999999" as Code;
  await redeem(wrong);
  await redeem(wrong);
  for (let i = 0; i < 10; i++) expect(await redeem((await minted()).code)).toBeDefined();
  await redeem(wrong);
  expect(await redeemAs(wrong, me)).toMatchObject({ outcome: "locked" });
});

test("redeemFailures of 0 locks nobody, and remembers nobody", async () => {
  const { engine, redeem } = meetingPoint({ redeemFailures: 0 });
  for (let i = 0; i < 1_000; i++) expect(await redeem("99999999" as Code)).toBeUndefined();
  expect(engine.sizes().guessers).toBe(0);
});

test("everybody behind an unknown proxy gets codes two digits longer, and the limits of a site", async () => {
  const { mint, minted, redeem, redeemAs } = meetingPoint({ maxPerClient: 2, redeemFailures: 3 });
  const everybody = client("10.0.0.1", true);
  for (let i = 0; i < 32; i++) expect((await minted(undefined, everybody)).code).toHaveLength(6);
  expect(await mint({ ttlMs: undefined, client: everybody })).toMatchObject({
    outcome: "client_full",
  });
  for (let i = 0; i < 48; i++) expect(await redeem("99999999" as Code, everybody)).toBeUndefined();
  expect(await redeemAs("99999999" as Code, everybody)).toMatchObject({ outcome: "locked" });
  expect((await minted()).code).toHaveLength(4);
});

test("where codes cannot be longer, those behind an unknown proxy are as long as any", async () => {
  const { minted } = meetingPoint({ maxDigits: 5 });
  expect((await minted(undefined, client("10.0.0.1", true))).code).toHaveLength(5);
});

test("sixty clients that do so at once cost the others a digit, and neither codes nor time", async () => {
  let draws = 0;
  const random = (below: number) => {
    draws++;
    return cryptoRandom(below);
  };
  const { mint, redeem, engine } = meetingPoint({ maxPerClient: 100, random });
  for (let i = 0; i < 60 * 110; i++) {
    const looping = client(`loop ${i % 60}`);
    const answer = await mint({ ttlMs: undefined, client: looping });
    if (answer.outcome === "minted") await redeem(answer.code, looping);
  }
  expect(engine.sizes()).toMatchObject({ codesLive: 0, codesResting: 6_000 });
  const others = await mint({ ttlMs: undefined, client: client("other") });
  expect(others).toHaveProperty("code", expect.stringMatching(/^[0-9]{5}$/));
  expect(draws).toBeLessThan(3 * 6_000);
});

test("a client that mints and redeems in a loop leaves the others their short codes", async () => {
  const { mint, redeem, engine } = meetingPoint({ maxPerClient: 100 });
  const looping = client("loop");
  for (let i = 0; i < 5_000; i++) {
    const answer = await mint({ ttlMs: undefined, client: looping });
    if (answer.outcome === "minted") await redeem(answer.code, looping);
  }
  expect(engine.sizes()).toMatchObject({ codesLive: 0, codesResting: 100 });
  const others = await mint({ ttlMs: undefined, client: client("other") });
  expect(others).toHaveProperty("code", expect.stringMatching(/^[0-9]{4}$/));
});

test("with every draw taken nothing spins: at most 16 draws a length, then full", async () => {
  let draws = 0;
  const random: Random = () => {
    draws++;
    return 0;
  };
  const { mint, minted } = meetingPoint({ random });
  for (const digits of [4, 5, 6, 7, 8]) expect((await minted()).code).toHaveLength(digits);
  draws = 0;
  expect(await mint({ ttlMs: undefined, client: me })).toMatchObject({ outcome: "codes_full" });
  expect(draws).toBe(5 * 16);
});

// ---- guessing ----

/** Misses of `count` clients that were never seen before, at random codes of one length. */
async function attack(
  { redeemAs }: ReturnType<typeof meetingPoint>,
  count: number,
  digits: number,
  taken = new Set<string>(),
) {
  let stranger = 0;
  for (let misses = 0; misses < count; ) {
    const guess = String(cryptoRandom(10 ** digits)).padStart(digits, "0") as Code;
    const answer = await redeemAs(guess, client(`stranger ${digits} ${stranger++}`));
    if (answer.outcome === "taken") taken.add(guess);
    else misses++;
  }
  return taken;
}

test("codes minted before an attack are taken with 1 in 20 at most, from however many addresses", async () => {
  let stolen = 0;
  for (let round = 0; round < 60; round++) {
    const place = meetingPoint({ redeemFailures: 10 });
    for (let i = 0; i < 50; i++) await place.minted();
    stolen += (await attack(place, 1_000, 4)).size;
  }
  // Of 3,000 some 75 are, since no other codes are in use: more than 150, one in 20, in no run of 10¹³.
  expect(stolen).toBeLessThanOrEqual(150);
  expect(stolen).toBeGreaterThan(0);
});

test("codes minted while an attack shows are taken with 1 in 100 at most, also if it turns to their length", async () => {
  let stolen = 0;
  let minted = 0;
  for (let round = 0; round < 100; round++) {
    const place = meetingPoint({ redeemFailures: 10, maxDigits: 5 });
    await attack(place, 101, 4);
    for (let i = 0; i < 100; i++) {
      expect((await place.minted()).code).toHaveLength(5);
      minted++;
    }
    stolen += (await attack(place, 800, 5)).size;
  }
  // Of 10,000 some 50 are, since no other codes are in use: more than 100, one in 100, in no run of 10¹¹.
  expect(stolen).toBeLessThanOrEqual(minted / 100);
});

test("when half of a length is in use and known to the guesser, 1 in 20 still holds", async () => {
  let stolen = 0;
  for (let round = 0; round < 40; round++) {
    const place = meetingPoint({ maxDigits: 4 });
    const known = new Set<string>();
    // Near the half 16 draws in a row meet taken codes now and then: who is refused asks again.
    while (known.size < 4_950) {
      const answer = await place.mint({
        ttlMs: undefined,
        client: client(`attacker ${known.size >> 9}`),
      });
      if (answer.outcome !== "minted") continue;
      await place.redeem(answer.code);
      known.add(answer.code);
    }
    const others = new Set<string>();
    while (others.size < 50) {
      const answer = await place.mint({ ttlMs: undefined, client: me });
      if (answer.outcome === "minted") others.add(answer.code);
    }
    for (let guess = 0; guess < 10_000; guess++) {
      const code = String(guess).padStart(4, "0") as Code;
      if (known.has(code)) continue;
      const answer = await place.redeemAs(code, client(`stranger ${guess}`));
      if (answer.outcome === "taken" && others.has(code)) stolen++;
    }
  }
  // Of 2,000 codes 100 are what 1 in 20 means; seven deviations more are no chance.
  expect(stolen).toBeLessThan(170);
});

test("a code that outlives many windows is allowed no more misses for it", async () => {
  const place = meetingPoint({ roomTtlMs: 168 * 3_600_000 });
  const { code } = await place.minted();
  for (let round = 0; round < 5; round++) {
    for (let i = 0; i < 50; i++) await place.redeemAs("0000" as Code, client("slow"));
    place.time.now += 120_000;
  }
  expect(place.guessing()).toMatchObject({ shows: false, digits: 4 });
  if (code === "0000") return;
  expect(await place.redeemAs(code, me)).toEqual({ outcome: "withdrawn" });
});

test("during an attack one without misses mints and redeems, however fast the guesses come", async () => {
  const place = meetingPoint({ redeemFailures: 10 });
  for (const misses of [101, 900, 9_000, 100_000]) {
    await attack(place, misses, 4);
    const { code } = await place.minted();
    // While it is on its way, as many are guessed at its own length as ever before.
    await attack(place, misses, code.length);
    expect(await place.redeemAs(code, me)).toMatchObject({ outcome: "taken" });
  }
});

test("guesses at several lengths count together", async () => {
  const place = meetingPoint();
  for (const digits of [4, 5, 6, 7, 8]) await attack(place, 21, digits);
  expect(place.guessing()).toEqual({ recentMisses: 105, shows: true, digits: 6 });
  expect((await place.minted()).code).toHaveLength(6);
});

test("one client that mistypes shows no attack, and codes are short again two windows after one", async () => {
  const place = meetingPoint();
  await attack(place, 100, 4);
  expect(place.guessing()).toEqual({ recentMisses: 100, shows: false, digits: 4 });
  await attack(place, 1, 4);
  expect(place.guessing()).toEqual({ recentMisses: 101, shows: true, digits: 6 });
  place.time.now += 120_000;
  place.engine.sweep();
  expect(place.guessing()).toEqual({ recentMisses: 0, shows: false, digits: 4 });
  expect((await place.minted()).code).toHaveLength(4);
});

test("a client holds an eighth of all codes at most, a site a half, whatever it may hold otherwise", async () => {
  const { mint, minted } = meetingPoint({ maxCodes: 80, maxPerClient: 1_000 });
  const subscriber = (i: number): RendezvousClient => ({
    accounts: [
      { key: `net ${i}`, kind: "client" },
      { key: "site", kind: "site" },
    ],
    shared: false,
  });
  for (let i = 0; i < 40; i++) await minted(undefined, subscriber(i >> 3));
  expect(await mint({ ttlMs: undefined, client: subscriber(9) })).toMatchObject({
    outcome: "client_full",
  });
  for (let i = 0; i < 10; i++) await minted();
  expect(await mint({ ttlMs: undefined, client: me })).toMatchObject({ outcome: "client_full" });
  await minted(undefined, client("other"));
});

test("without a limit on a client's codes it has no share of all either", async () => {
  const { mint, minted } = meetingPoint({ maxCodes: 80, maxPerClient: 0 });
  for (let i = 0; i < 80; i++) await minted();
  expect(await mint({ ttlMs: undefined, client: me })).toMatchObject({ outcome: "codes_full" });
});
