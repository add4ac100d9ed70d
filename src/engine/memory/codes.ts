import type { Account } from "../../base/account.ts";
import type { AppId, Code } from "../../base/ids.ts";
import type { Claim, CodeEntry, CodeLimits, Codes, Guess, NewCode } from "../engine.ts";
import { DueQueue } from "./due-queue.ts";
import { guessLedger, MissCounts } from "./guesses.ts";
import { SplitMap } from "./split-map.ts";

/** A code from its claim until it may be claimed again: live, then resting (used or expired). */
export interface CodeRecord extends CodeEntry {
  readonly code: Code;
  readonly accounts: readonly Account[];
  readonly restMs: number;
  /** It is withdrawn once there were this many misses of all time at its length. */
  readonly withdrawAt: number;
  state: "live" | "used" | "expired";
  /** When the state changes by itself: live to expired, or resting to forgotten. */
  dueAt: number;
  /** Its index in the array of each of its accounts, in the order of `accounts`. */
  readonly places: number[];
}

export type MemoryCodes = ReturnType<typeof memoryCodes>;

/** Codes of one account that are looked through for the one that is free first: all, by default. */
const maxLookedThrough = 2_048;

/** Codes in Maps. Everything due is carried out before each verb, so counts are exact. */
export function memoryCodes(
  now: () => number,
  redeemWindowMs: number,
  redeemed: (appId: AppId) => void,
) {
  const byCode = new SplitMap<Code, CodeRecord>(Number);
  const byRoom = new SplitMap<AppId, CodeRecord>((appId) => Number.parseInt(appId.slice(0, 2), 16));
  const byAccount = new Map<string, CodeRecord[]>();
  const due = new DueQueue<CodeRecord>();
  const guesses = guessLedger(redeemWindowMs);
  const misses = new MissCounts(redeemWindowMs);
  let live = 0;
  let recentMisses = 0;

  function sweep(at: number): void {
    for (let record = due.take(at); record !== undefined; record = due.take(at)) {
      if (record.state !== "live") {
        forget(record);
        continue;
      }
      live--;
      record.state = "expired";
      due.add(record, record.expiresAt + record.restMs);
    }
  }

  function forget(record: CodeRecord): void {
    byCode.delete(record.code);
    byRoom.delete(record.appId);
    for (const [i, { key }] of record.accounts.entries()) {
      const held = byAccount.get(key) as CodeRecord[];
      // The last record takes its place. An account has the same index in all its records.
      const last = held.pop() as CodeRecord;
      if (held.length === 0) byAccount.delete(key);
      if (last === record) continue;
      const place = record.places[i] as number;
      held[place] = last;
      last.places[i] = place;
    }
  }

  function claim(candidates: Iterable<Code>, entry: NewCode, limits: CodeLimits): Claim {
    const at = now();
    sweep(at);
    const { appId, accounts, restMs } = entry;
    for (const { key, kind } of accounts) {
      const held = byAccount.get(key);
      if (held !== undefined && held.length >= limits.maxHeld[kind]) {
        return { outcome: "client_full", retryAfterMs: untilFirstFree(held, at) };
      }
    }
    if (live >= limits.maxLive || byCode.size >= limits.maxUsed) return { outcome: "crowded" };
    recentMisses = misses.recent(at);
    const allowed = allowance(limits.allowances, recentMisses);
    if (allowed === undefined) return { outcome: "crowded" };
    for (const code of candidates) {
      if (byCode.has(code)) continue;
      const expiresAt = at + entry.ttlMs;
      const withdrawAt = misses.of(code.length) + allowed;
      const state = "live";
      const dueAt = expiresAt;
      add({ code, appId, accounts, restMs, expiresAt, withdrawAt, state, dueAt, places: [] });
      return { outcome: "claimed", code, expiresAt };
    }
    return { outcome: "collided" };
  }

  function add(record: CodeRecord): void {
    if (record.state === "live") live++;
    byCode.set(record.code, record);
    byRoom.set(record.appId, record);
    due.add(record, record.dueAt);
    for (const { key } of record.accounts) {
      const held = byAccount.get(key);
      if (held === undefined) byAccount.set(key, [record]);
      record.places.push(held === undefined ? 0 : held.push(record) - 1);
    }
  }

  return {
    claim,
    guess(code: Code, accounts: readonly Account[], maxMisses: number): Guess {
      const at = now();
      const retryAfterMs = maxMisses > 0 ? guesses.lockedFor(accounts, at) : 0;
      if (retryAfterMs > 0) return { outcome: "locked", retryAfterMs };
      const record = byCode.get(code);
      if (record?.state !== "live" || at >= record.expiresAt) {
        misses.add(code.length, at);
        recentMisses = misses.recent(at);
        if (maxMisses > 0) guesses.missed(accounts, maxMisses, at);
        return { outcome: "gone" };
      }
      if (misses.of(code.length) >= record.withdrawAt) return { outcome: "withdrawn" };
      live--;
      record.state = "used";
      due.add(record, at + record.restMs);
      redeemed(record.appId);
      return { outcome: "taken", entry: record };
    },
    recentMisses: () => recentMisses,
    /** The record of the code that this room was minted with, while the code lives or rests. */
    ofRoom(appId: AppId): CodeRecord | undefined {
      sweep(now());
      return byRoom.get(appId);
    },
    sweep(): void {
      const at = now();
      sweep(at);
      guesses.sweep(at);
      recentMisses = misses.recent(at);
    },
    /** All that live or rest. */
    records(): readonly CodeRecord[] {
      sweep(now());
      return [...byCode.values()];
    },
    /** Puts a record back as it was. */
    restore: (record: Omit<CodeRecord, "places">): void => add({ ...record, places: [] }),
    /** Misses at all codes, by which `CodeRecord.withdrawAt` goes. */
    misses: misses as Pick<MissCounts, "save" | "restore">,
    sizes() {
      sweep(now());
      return {
        codesLive: live,
        codesResting: byCode.size - live,
        codeClients: byAccount.size,
        guessers: guesses.size(),
      };
    },
  } satisfies Codes & Record<string, unknown>;
}

/** Undefined where there is none for so many recent misses. */
function allowance(all: CodeLimits["allowances"], recentMisses: number): number | undefined {
  for (const { upToRecent, misses } of all) if (recentMisses <= upToRecent) return misses;
  return undefined;
}

function untilFirstFree(held: Iterable<CodeRecord>, at: number): number {
  let first = Number.POSITIVE_INFINITY;
  let looked = 0;
  for (const record of held) {
    if (looked++ === maxLookedThrough) break;
    const freeAt = record.state === "live" ? record.expiresAt + record.restMs : record.dueAt;
    first = Math.min(first, freeAt);
  }
  return Math.max(0, first - at);
}
