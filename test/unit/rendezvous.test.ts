import { expect, test } from "bun:test";
import { cryptoRandom, type Random } from "../../src/base/clock.ts";
import type { Code } from "../../src/base/ids.ts";
import { memoryEngine } from "../../src/engine/memory/memory.ts";
import {
  type RendezvousClient,
  type RendezvousOptions,
  rendezvous,
} from "../../src/rendezvous/rendezvous.ts";
import { Tally } from "../../src/telemetry/tally.ts";
import { contractLimits } from "../contract/engine-contract.ts";

const { roomTtlMs } = contractLimits;
const me = client("192.0.2.1");

/** Who mints and redeems, told apart by name. */
function client(key: string, shared = false): RendezvousClient {
  return { accounts: [{ key, kind: shared ? "shared" : "client" }], shared } as const;
}

/** A rendezvous over a memory engine whose clock only the test moves. */
function meetingPoint(options: Partial<RendezvousOptions> = {}) {
  const time = { now: 1_700_000_000_000 };
  const engine = memoryEngine({
    now: () => time.now,
    limits: contractLimits,
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
    codeDigits: 4,
    codeDigitsMax: 8,
    codesPerClient: 0,
    maxCodes: 1_000_000,
    redeemFailures: 0,
    tally: new Tally(),
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
  return { engine, time, mint, minted, redeem, redeemAs, guessing };
}

/** Draws the given numbers in turn, over and over. */
function scripted(...numbers: number[]): Random {
  let drawn = 0;
  return () => numbers[drawn++ % numbers.length] as number;
}

test("in memory neither minting nor redeeming costs a promise", () => {
  const { mint, redeemAs } = meetingPoint({ random: scripted(2802) });
  expect(mint({ ttlMs: undefined, client: me })).toMatchObject({ code: "2802" });
  expect(redeemAs("2802" as Code, me)).toMatchObject({ entry: { expiresAt: 1_700_000_600_000 } });
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

test("where codes cannot be longer, those behind an unknown proxy are as long as any", async () => {
  const { minted } = meetingPoint({ codeDigitsMax: 5 });
  expect((await minted(undefined, client("10.0.0.1", true))).code).toHaveLength(5);
});

test("sixty clients that do so at once cost the others a digit, and neither codes nor time", async () => {
  let draws = 0;
  const random = (below: number) => {
    draws++;
    return cryptoRandom(below);
  };
  const { mint, redeem, engine } = meetingPoint({ codesPerClient: 100, random });
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
    const place = meetingPoint({ redeemFailures: 10, codeDigitsMax: 5 });
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
    const place = meetingPoint({ codeDigitsMax: 4 });
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
