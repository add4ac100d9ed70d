import { rawRequest } from "../support/raw-http.ts";
import { TestRedis } from "../support/redis.ts";
import type { Attack, Verdict } from "./attack-case.ts";
import {
  eachOf,
  from,
  mint,
  postJson,
  startTarget,
  stranger,
  type Target,
  upTo,
} from "./target.ts";

// What counts is how many of the codes are taken: a guess may be refused and compared all the same, or
// be answered like a miss and not be compared. All guesses differ, so each hits a code at most once.

type Headers = Readonly<Record<string, string>>;

/** What became of the guesses at codes of one length. */
interface Guesses {
  taken: number;
  refused: number;
}

/** Answers whether the guess was refused. */
async function guess(target: Target, code: string, who: Headers, sum: Guesses): Promise<boolean> {
  const answer = await postJson(target, "redeem", { code }, who);
  const body = (await answer.json()) as { readonly code?: string };
  if (answer.status === 200) sum.taken++;
  const refused = answer.status !== 200 && body.code !== "code_gone";
  if (refused) sum.refused++;
  return refused;
}

/**
 * Makes so many guesses at codes of the length, `whoseTurn` telling who makes each; what was refused
 * is guessed again later.
 */
async function guessAll(
  target: Target,
  digits: number,
  count: number,
  whoseTurn: (guess: number) => Headers,
  until?: number,
): Promise<Guesses> {
  const sum: Guesses = { taken: 0, refused: 0 };
  // Steps that are prime to ten go through all of them, each once, evenly spread.
  const space = 10 ** digits;
  const step = Math.floor(space * 0.382) * 10 + 7;
  const start = Math.floor(Math.random() * space);
  const refused: number[] = [];
  let drawn = 0;
  const one = async (i: number) => {
    const at = drawn < space ? drawn++ : refused.shift();
    if (at === undefined) return;
    const code = String((start + at * step) % space).padStart(digits, "0");
    if (await guess(target, code, whoseTurn(i), sum)) refused.push(at);
  };
  await eachOf(upTo(count), 64, one, until);
  return sum;
}

/** `most`: the greatest chance that one code is taken. */
function told({ taken, refused }: Guesses, count: number, most: number): Verdict {
  // Chance alone exceeds that once in more than 10,000 runs.
  const mostTaken = count * most + 4 * Math.sqrt(count * most) + 1;
  return {
    measured: `${taken} of ${count} codes taken, ${refused} guesses refused`,
    holds: taken <= mostTaken,
  };
}

/** Codes that the attacker is after. */
const live = 80;

async function mintAll(target: Target, count: number): Promise<readonly string[]> {
  const codes: string[] = [];
  for (let i = 0; i < count; i++) codes.push((await mint(target, from(`192.0.2.${i + 1}`))) ?? "");
  return codes;
}

/** 9 misses stay below the limit of one client. */
const missesEach = 9;
const spread = (guess: number) => from(stranger(Math.floor(guess / missesEach)));

async function spreadOver(env: Headers): Promise<Verdict> {
  await using target = await startTarget(env);
  await mintAll(target, live);
  return told(await guessAll(target, 4, 10_000, spread), live, 1 / 20);
}

async function mintedMeanwhile(env: Headers): Promise<Verdict> {
  await using target = await startTarget(env);
  await guessAll(target, 4, 10_000, spread);
  const codes = await mintAll(target, 50);
  const digits = codes[0]?.length ?? 0;
  if (digits === 0) return { measured: "nobody could mint", holds: false };
  const one = (i: number) => from(stranger(20_000 + i));
  const { measured, holds } = told(await guessAll(target, digits, 20_000, one), 50, 1 / 100);
  return { measured: `${measured}, of ${digits} digits`, holds };
}

async function guessAsCustomer(env: Headers): Promise<Verdict> {
  await using target = await startTarget({ REDEEM_WINDOW: "2s", CODE_DIGITS: "6", ...env });
  const who = (n: number) => from(`2001:db8:1:${(n % 256).toString(16)}::5`);
  const answers: number[] = [];
  for (let round = 0; round < 3; round++) {
    await guessAll(target, 8, 2_000, who);
    const neighbour = from(`2001:db8:1:${round + 1}00::5`);
    const code = await mint(target, neighbour);
    for (const text of ["00000000", code]) {
      answers.push((await postJson(target, "redeem", { code: text }, neighbour)).status);
    }
    await Bun.sleep(2_100);
  }
  return {
    measured: `neighbours were answered ${answers.join(", ")}`,
    holds: answers.join() === "410,200,410,200,410,200",
  };
}

async function unreadableHeader(): Promise<Verdict> {
  await using target = await startTarget({ CLIENT_IP_HEADER: "X-Real-IP" });
  const unreadable = { "X-Real-IP": "unknown" };
  for (let i = 0; i < live; i++) await mint(target, { "X-Real-IP": `192.0.2.${i + 1}` });
  const { measured, holds } = told(
    await guessAll(target, 4, 10_000, () => unreadable),
    live,
    1 / 20,
  );
  const isTold = (target.program.stdout + target.program.stderr).includes(
    "does not name its client",
  );
  return {
    measured: `${measured}; ${isTold ? "told of" : "not told of"} in the log`,
    holds: holds && isTold,
  };
}

export const guessing: readonly Attack[] = [
  {
    name: "guess-behind-a-header",
    tries: "10,000 guesses from one private address that sends X-Forwarded-For, at 80 codes",
    bound: "a code is taken with a chance of at most 1 in 20",
    short: true,
    async run() {
      await using target = await startTarget({ TRUST_PROXY: "192.0.2.1" });
      // Once with the header: from then on the address counts as shared.
      const owner = { method: "POST", localAddress: "127.0.0.9", target: "/rendezvous/code" };
      for (let i = 0; i < live; i++) await rawRequest(target.http, owner);
      return told(await guessAll(target, 4, 10_000, (i) => from(stranger(i))), live, 1 / 20);
    },
  },
  {
    name: "guess-in-a-private-network",
    tries: "the same from 10.1.0.5, in a network of its own",
    bound: "a code is taken with a chance of at most 1 in 20",
    addresses: ["10.1.0.5", "192.0.2.80"],
    async run() {
      await using target = await startTarget({ HOST: "10.1.0.5" }, "10.1.0.5");
      for (let i = 0; i < live; i++) await mint(target, {});
      return told(await guessAll(target, 4, 10_000, (i) => from(stranger(i))), live, 1 / 20);
    },
  },
  {
    name: "guess-spread",
    tries: "1,112 addresses with 9 misses each, at 80 codes",
    bound: "a code is taken with a chance of at most 1 in 20",
    short: true,
    run: () => spreadOver({}),
  },
  {
    name: "guess-spread-windows",
    tries: "the same again in every window of a code's life (REDEEM_WINDOW 1s, ROOM_TTL 5s)",
    bound: "a code is taken with a chance of at most 1 in 20 in all",
    async run() {
      await using target = await startTarget({ REDEEM_WINDOW: "1s", ROOM_TTL: "5s" });
      await mintAll(target, live);
      const until = performance.now() + 5_000;
      return told(await guessAll(target, 4, 1_000_000, spread, until), live, 1 / 20);
    },
  },
  {
    name: "guess-minted-meanwhile",
    tries: "an attack that shows, and then 20,000 addresses at the length of the codes minted next",
    bound: "a code is taken with a chance of at most 1 in 100",
    run: () => mintedMeanwhile({}),
  },
  {
    name: "guess-minted-meanwhile-at-the-greatest-length",
    tries: "the same with CODE_DIGITS_MAX=5",
    bound: "a code is taken with a chance of at most 1 in 100",
    run: () => mintedMeanwhile({ CODE_DIGITS_MAX: "5" }),
  },
  {
    name: "guess-flood-and-newcomers",
    tries: "100,020 single misses from as many addresses, and newcomers all the while",
    bound: "every newcomer redeems a right new code, within 5 s",
    async run() {
      await using target = await startTarget();
      let longest = 0;
      let served = 0;
      let refused = 0;
      const newcomer = async (n: number) => {
        const startedAt = performance.now();
        const code = await mint(target, from(`192.0.2.${(n % 250) + 1}`));
        const answer = await postJson(target, "redeem", { code }, from(`203.0.113.${n % 256}`));
        await answer.arrayBuffer();
        longest = Math.max(longest, performance.now() - startedAt);
        if (answer.status === 200) served++;
        else refused++;
      };
      const sum: Guesses = { taken: 0, refused: 0 };
      await eachOf(upTo(100_020), 64, async (i) => {
        await guess(target, String(10_000_000 + i * 7), from(stranger(i)), sum);
        if (i % 5_000 === 0) await newcomer(i / 5_000);
      });
      for (let n = 100; n < 110; n++) await newcomer(n);
      return {
        measured: `${served} served, ${refused} refused, the slowest in ${(longest / 1_000).toFixed(2)} s`,
        holds: refused === 0 && longest < 5_000,
      };
    },
  },
  {
    name: "guess-as-one-customer",
    tries:
      "2,000 wrong codes from the 256 /64s of one /56, again in each of three windows (REDEEM_WINDOW 2s)",
    bound: "its neighbours in the /48 redeem their right codes, at once, also after a wrong one",
    short: true,
    run: () => guessAsCustomer({}),
  },
  {
    name: "guess-as-one-customer-redis",
    tries: "the same with Redis",
    bound: "its neighbours in the /48 redeem their right codes, at once, also after a wrong one",
    needs: ["redis-server"],
    async run() {
      await using redis = await TestRedis.start();
      return await guessAsCustomer({ REDIS_URL: redis.url });
    },
  },
  {
    name: "guess-behind-an-unreadable-header",
    tries:
      "10,000 guesses through a trusted proxy whose CLIENT_IP_HEADER is no address, at 80 codes",
    bound: "a code is taken with a chance of at most 1 in 20; the log tells of the header",
    short: true,
    run: unreadableHeader,
  },
  {
    name: "guess-spread-redis",
    tries: "1,112 addresses with 9 misses each, at 80 codes, with Redis",
    bound: "a code is taken with a chance of at most 1 in 20",
    needs: ["redis-server"],
    async run() {
      await using redis = await TestRedis.start();
      return await spreadOver({ REDIS_URL: redis.url });
    },
  },
];
