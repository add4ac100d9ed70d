import type { Account } from "../../base/account.ts";
import type { Code } from "../../base/ids.ts";
import {
  type Claim,
  type CodeLimits,
  type Codes,
  EngineFull,
  EngineUnreachable,
  type Guess,
  type NewCode,
} from "../engine.ts";
import type { CodesReply } from "./inside/codes.ts";
import type { TurnReply } from "./inside/turn.ts";
import type { RedisEngineOptions } from "./redis.ts";
import type { Store } from "./store.ts";

/** Codes in Redis: a claim and a guess are one round trip each. */
export class RedisCodes implements Codes {
  /** The answer of `recentMisses`. A sweep sets it too. */
  misses = 0;
  private operations = 0;

  constructor(
    private readonly store: Store,
    private readonly options: Pick<RedisEngineOptions, "node" | "timeoutMs" | "clock">,
    private readonly heard: (reply: TurnReply) => void,
  ) {}

  async claim(candidates: Iterable<Code>, entry: NewCode, limits: CodeLimits): Promise<Claim> {
    let drawn = 0;
    for (const batch of batches(candidates)) {
      const claim = await this.ask<Claim>("claim", { candidates: batch, entry, limits });
      if (claim.outcome !== "collided") return claim;
      drawn += batch.length;
    }
    if (drawn > 0) return { outcome: "collided" };
    return this.ask<Claim>("claim", { candidates: [], entry, limits });
  }

  guess(code: Code, accounts: readonly Account[], maxMisses: number): Promise<Guess> {
    return this.ask<Guess>("guess", { code, accounts, maxMisses });
  }

  recentMisses(): number {
    return this.misses;
  }

  /**
   * Asks once more if no answer came. Redis remembers the operation by its id: if the first call was carried
   * out, its answer is returned again. Rejects only when neither call can be carried out any more. So a lost
   * answer does not lose a code.
   */
  private async ask<T>(kind: "claim" | "guess", request: object): Promise<T> {
    const { node, timeoutMs, clock } = this.options;
    const args = [`${node}/${++this.operations}`, JSON.stringify(request)];
    const run = async () =>
      this.learn<T>(
        kind === "guess"
          ? await this.store.callCarefully(kind, args, (text) => text.includes('"outcome":"taken"'))
          : await this.store.call(kind, args),
      );
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof EngineUnreachable) || error instanceof EngineFull) throw error;
    }
    const askedAt = clock.monotonicMs();
    try {
      return await run();
    } catch (error) {
      const restMs = askedAt + timeoutMs - clock.monotonicMs();
      if (restMs > 0) await new Promise<void>((over) => clock.after(restMs, over));
      throw error;
    }
  }

  private learn<T>(text: string): T {
    const { answer, recent, turn } = JSON.parse(text) as CodesReply<T>;
    this.misses = recent;
    if (turn) this.heard(turn);
    return answer;
  }
}

/** Batches of 1, 1, 2, 4, …: the first code is nearly always free, and a round trip costs more than a draw. */
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
