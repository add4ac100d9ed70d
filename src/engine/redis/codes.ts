import { type Account, limitOf } from "../../base/account.ts";
import type { AppId, Code } from "../../base/ids.ts";
import {
  type Claim,
  type CodeLimits,
  type Codes,
  EngineUnreachable,
  type Guess,
  longestLocks,
  type NewCode,
} from "../engine.ts";
import type { RedisNode } from "./node.ts";
import { globalScripts } from "./scripts/scripts.ts";
import { numberAt, type Reply, textAt } from "./store.ts";

/** Accounts whose misses are counted apart. Later ones count for everybody together only. */
const maxGuessers = 100_000;

export function redisCodes({ store, keys, options }: RedisNode): Codes & {
  /** Takes over what a sweep has read. */
  learnRecentMisses(count: number): void;
} {
  const { node, timeoutMs, clock, limits } = options;
  const { redeemWindowMs } = limits;
  const rememberedMs = timeoutMs * 4;
  let operations = 0;
  let recentMisses = 0;

  /**
   * Runs it again, once, when no answer came. The script knows the operation by its id: what was done
   * the first time is answered and not done again. Rejects only when it is too late for either to be
   * carried out. So no code is lost with a lost answer.
   */
  async function runOnce(run: (operation: string) => Promise<Reply>): Promise<Reply> {
    const operation = keys.operation(`${node}/${++operations}`);
    const first = await run(operation).catch(unreachable);
    if (!(first instanceof EngineUnreachable)) return first;
    const askedAt = clock.monotonicMs();
    const second = await run(operation).catch(unreachable);
    if (!(second instanceof EngineUnreachable)) return second;
    const restMs = askedAt + timeoutMs - clock.monotonicMs();
    if (restMs > 0) await new Promise<void>((over) => clock.after(restMs, over));
    throw second;
  }

  async function claimOne(
    candidates: readonly Code[],
    { appId, ttlMs, restMs, accounts }: NewCode,
    { maxLive, maxUsed, maxHeld, allowances }: CodeLimits,
  ): Promise<Claim> {
    const reply = await runOnce((operation) =>
      store.run(
        globalScripts.claim,
        [
          ...[keys.live, keys.used, keys.clients, operation, keys.ofRoom + appId, keys.allMisses],
          ...accounts.map(({ key }) => keys.ofClient + key),
          ...candidates.map(keys.code),
        ],
        [
          appId,
          ...[ttlMs, restMs, maxLive, maxUsed, rememberedMs, redeemWindowMs].map(String),
          ...[accounts.length, allowances.length].map(String),
          ...accounts.flatMap(({ key, kind }) => [key, String(maxHeld[kind])]),
          ...allowances.flatMap(({ upToRecent, misses }) => [String(upToRecent), String(misses)]),
          ...candidates,
        ],
      ),
    );
    recentMisses = numberAt(reply, 1);
    switch (reply[0]) {
      case "claimed":
        return {
          outcome: "claimed",
          code: textAt(reply, 2) as Code,
          expiresAt: numberAt(reply, 3),
        };
      case "client_full":
        return { outcome: "client_full", retryAfterMs: Math.ceil(numberAt(reply, 2)) };
      case "crowded":
        return { outcome: "crowded" };
      default:
        return { outcome: "collided" };
    }
  }

  async function guess(
    code: Code,
    accounts: readonly Account[],
    maxMisses: number,
  ): Promise<Guess> {
    const limited = maxMisses > 0 ? accounts : [];
    const reply = await runOnce((operation) =>
      store.run(
        globalScripts.guess,
        [
          ...[keys.live, keys.used, keys.clients, operation, keys.code(code)],
          ...[keys.guessers, keys.allMisses],
          ...limited.map(({ key }) => keys.misses(key)),
        ],
        [
          code,
          keys.ofRoom,
          keys.ofClient,
          ...[rememberedMs, redeemWindowMs, maxGuessers].map(String),
          ...limited.flatMap((account) => [
            account.key,
            ...[limitOf(account, maxMisses), longestLocks[account.kind]].map(String),
          ]),
        ],
      ),
    );
    recentMisses = numberAt(reply, 1);
    switch (reply[0]) {
      case "taken": {
        const entry = { appId: textAt(reply, 2) as AppId, expiresAt: numberAt(reply, 3) };
        return { outcome: "taken", entry };
      }
      case "locked":
        return { outcome: "locked", retryAfterMs: Math.ceil(numberAt(reply, 2)) };
      case "withdrawn":
        return { outcome: "withdrawn" };
      default:
        return { outcome: "gone" };
    }
  }

  return {
    async claim(candidates, entry, limits) {
      let drawn = 0;
      for (const batch of batches(candidates)) {
        const claim = await claimOne(batch, entry, limits);
        if (claim.outcome !== "collided") return claim;
        drawn += batch.length;
      }
      return drawn > 0 ? { outcome: "collided" } : claimOne([], entry, limits);
    },
    guess,
    recentMisses: () => recentMisses,
    learnRecentMisses(count) {
      recentMisses = count;
    },
  };
}

function unreachable(error: unknown): EngineUnreachable {
  if (error instanceof EngineUnreachable) return error;
  throw error;
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
