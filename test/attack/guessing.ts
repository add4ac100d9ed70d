import { rawRequest } from "../support/raw-http.ts";
import { TestRedis } from "../support/redis.ts";
import type { AttackCase, Verdict } from "./attack-case.ts";
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

// The chance that one code is taken is exact: guesses that the server compared with its codes, all of
// them different, out of all codes of that length. What is taken shows as well whether those that it
// says it refused were compared all the same.

type Headers = Readonly<Record<string, string>>;

/** What became of the guesses at codes of one length. */
interface Guesses {
  /** Compared with the codes: taken or gone. */
  compared: number;
  taken: number;
  refused: number;
}

/** Answers whether the guess was compared with the codes. */
async function guess(target: Target, code: string, who: Headers, sum: Guesses): Promise<boolean> {
  const answer = await postJson(target, "redeem", { code }, who);
  const body = (await answer.json()) as { readonly code?: string };
  const compared = answer.status === 200 || body.code === "code_gone";
  if (answer.status === 200) sum.taken++;
  if (compared) sum.compared++;
  else sum.refused++;
  return compared;
}

/**
 * Makes so many guesses at codes of the length, `whoseTurn` telling who makes each; what was refused
 * is guessed again later, what was compared never.
 */
async function guessAll(
  target: Target,
  digits: number,
  count: number,
  whoseTurn: (guess: number) => Headers,
  until?: number,
): Promise<Guesses> {
  const sum: Guesses = { compared: 0, taken: 0, refused: 0 };
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
    if (!(await guess(target, code, whoseTurn(i), sum))) refused.push(at);
  };
  await eachOf(upTo(count), 64, one, until);
  return sum;
}

function told({ compared, taken, refused }: Guesses, digits: number, live: number, most: number) {
  const chance = compared / 10 ** digits;
  // Chance alone exceeds that once in more than 10,000 runs.
  const mostTaken = live * most + 6 * Math.sqrt(live * most) + 1;
  return {
    measured: `${(chance * 100).toFixed(2)} % of ${digits}-digit codes tried, ${taken} of ${live} taken, ${refused} guesses refused`,
    holds: chance <= most && taken <= mostTaken,
  } satisfies Verdict;
}

/** Codes that the attacker is after. */
const live = 20;

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
  return told(await guessAll(target, 4, 10_000, spread), 4, live, 1 / 20);
}

export const guessing: readonly AttackCase[] = [
  {
    name: "guess-behind-a-header",
    theme: "guessing",
    tries: "10,000 guesses from one private address that sends X-Forwarded-For, at 20 codes",
    bound: "at most 5 % of the codes tried",
    short: true,
    async run() {
      await using target = await startTarget({ TRUST_PROXY: "192.0.2.1" });
      // Once with the header: from then on the address counts as shared.
      const owner = { method: "POST", localAddress: "127.0.0.9", target: "/rendezvous/code" };
      for (let i = 0; i < live; i++) await rawRequest(target.http, owner);
      return told(await guessAll(target, 4, 10_000, (i) => from(stranger(i))), 4, live, 1 / 20);
    },
  },
  {
    name: "guess-in-a-private-network",
    theme: "guessing",
    tries: "the same from 10.1.0.5, in a network of its own",
    bound: "at most 5 % of the codes tried",
    addresses: ["10.1.0.5", "192.0.2.80"],
    async run() {
      await using target = await startTarget({ HOST: "10.1.0.5" }, "10.1.0.5");
      for (let i = 0; i < live; i++) await mint(target, {});
      return told(await guessAll(target, 4, 10_000, (i) => from(stranger(i))), 4, live, 1 / 20);
    },
  },
  {
    name: "guess-spread",
    theme: "guessing",
    tries: "1,112 addresses with 9 misses each, at 20 codes",
    bound: "at most 5 % of the codes tried",
    short: true,
    run: () => spreadOver({}),
  },
  {
    name: "guess-spread-windows",
    theme: "guessing",
    tries: "the same again in every window of a code's life (REDEEM_WINDOW 1s, ROOM_TTL 5s)",
    bound: "at most 5 % of the codes tried in all",
    async run() {
      await using target = await startTarget({ REDEEM_WINDOW: "1s", ROOM_TTL: "5s" });
      await mintAll(target, live);
      const until = performance.now() + 5_000;
      return told(await guessAll(target, 4, 1_000_000, spread, until), 4, live, 1 / 20);
    },
  },
  {
    name: "guess-minted-meanwhile",
    theme: "guessing",
    tries: "an attack that shows, and then 20,000 addresses at the length of the code minted next",
    bound: "at most 1 % of that length tried, three times in a row",
    async run() {
      await using target = await startTarget({ DEV: "false" });
      await guessAll(target, 4, 10_000, spread);
      let worst: Verdict | undefined;
      let at = 20_000;
      for (let round = 0; round < 3; round++) {
        const code = await mint(target, from(`192.0.2.${round + 1}`));
        if (code === undefined) return { measured: "nobody could mint", holds: false };
        const first = at;
        const one = (i: number) => from(stranger(first + i));
        const sum = await guessAll(target, code.length, 20_000, one);
        const verdict = told(sum, code.length, 1, 1 / 100);
        at += 20_000;
        if (!verdict.holds) return verdict;
        worst = verdict;
      }
      return worst as Verdict;
    },
  },
  {
    name: "guess-flood-and-newcomers",
    theme: "guessing",
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
      const sum: Guesses = { compared: 0, taken: 0, refused: 0 };
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
    name: "guess-spread-redis",
    theme: "guessing",
    tries: "1,112 addresses with 9 misses each, at 20 codes, with Redis",
    bound: "at most 5 % of the codes tried",
    needs: ["redis-server"],
    async run() {
      await using redis = await TestRedis.start();
      return await spreadOver({ REDIS_URL: redis.url });
    },
  },
];
