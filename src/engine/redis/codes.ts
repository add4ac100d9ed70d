import type { Code } from "../../base/ids.ts";
import { type Claim, type Codes, EngineFull, EngineUnreachable, type Guess } from "../engine.ts";
import type { CodesReply } from "./inside/codes.ts";
import type { TurnReply } from "./inside/turn.ts";
import type { RedisEngineOptions } from "./redis.ts";
import type { Store } from "./store.ts";

export interface RedisCodes extends Codes {
  /** Takes over what a sweep has read. */
  learnRecentMisses(count: number): void;
}

/** Codes in Redis: a claim and a guess are one round trip each. */
export function redisCodes(
  store: Store,
  { node, timeoutMs, clock }: RedisEngineOptions,
  heard: (reply: TurnReply) => void,
): RedisCodes {
  let operations = 0;
  let recentMisses = 0;

  /**
   * Asks again, once, when no answer came. Redis knows the operation by its id: what was done the first
   * time is answered and not done again. Rejects only when it is too late for either to be carried out. So
   * no code is lost with a lost answer.
   */
  async function ask<T>(kind: "claim" | "guess", request: object): Promise<T> {
    const args = [`${node}/${++operations}`, JSON.stringify(request)];
    const run = () =>
      kind === "guess"
        ? store.callCarefully(kind, args, (text) => text.includes('"outcome":"taken"'))
        : store.call(kind, args);
    try {
      return learn(await run());
    } catch (error) {
      if (!(error instanceof EngineUnreachable) || error instanceof EngineFull) throw error;
    }
    const askedAt = clock.monotonicMs();
    try {
      return learn(await run());
    } catch (error) {
      const restMs = askedAt + timeoutMs - clock.monotonicMs();
      if (restMs > 0) await new Promise<void>((over) => clock.after(restMs, over));
      throw error;
    }
  }

  function learn<T>(text: string): T {
    const { answer, recent, turn } = JSON.parse(text) as CodesReply<T>;
    recentMisses = recent;
    if (turn) heard(turn);
    return answer;
  }

  const codes: Codes = {
    async claim(candidates, entry, limits) {
      let drawn = 0;
      for (const batch of batches(candidates)) {
        const claim = await ask<Claim>("claim", { candidates: batch, entry, limits });
        if (claim.outcome !== "collided") return claim;
        drawn += batch.length;
      }
      if (drawn > 0) return { outcome: "collided" };
      return ask<Claim>("claim", { candidates: [], entry, limits });
    },
    guess: (code, accounts, maxMisses) => ask<Guess>("guess", { code, accounts, maxMisses }),
    recentMisses: () => recentMisses,
  };
  return {
    ...codes,
    learnRecentMisses(count) {
      recentMisses = count;
    },
  };
}

/** One, one, two, four, …: the first is free nearly always, and a round trip costs more than a draw. */
function* batches(candidates: Iterable<Code>): Generator<readonly Code[]> {
  let size = 1;
  let drawn = 0;
  let batch: Code[] = [];
  for (const candidate of candidates) {
    batch.push(candidate);
    if (batch.length < size) continue;
    yield batch;
    drawn += size;
    size = drawn;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
