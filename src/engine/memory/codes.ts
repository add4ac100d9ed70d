import type { AppId, Code } from "../../base/ids.ts";
import type { Claim, CodeCounts, CodeEntry, CodeLimits, Codes, NewCode } from "../engine.ts";
import { DueQueue } from "./due-queue.ts";
import { guessLedger } from "./guesses.ts";

/** A code from its claim until it may be claimed again: live, then resting (used or expired). */
export interface CodeRecord extends CodeEntry {
  readonly code: Code;
  readonly client: string | undefined;
  readonly restMs: number;
  state: "live" | "used" | "expired";
  /** When the state changes by itself: live to expired, or resting to forgotten. */
  dueAt: number;
}

export interface MemoryCodes extends Codes {
  take(code: Code): CodeEntry | undefined;
  counts(): CodeCounts;
  /** The record of the code that this room was minted with, while the code lives or rests. */
  ofRoom(appId: AppId): CodeRecord | undefined;
  sweep(): void;
  /** All that live or rest. */
  records(): readonly CodeRecord[];
  /** Puts a record back as it was. */
  restore(record: CodeRecord): void;
  clients(): number;
  guessers(): number;
}

/** Codes in Maps. Everything due is carried out before each verb, so counts are exact. */
export function memoryCodes(now: () => number): MemoryCodes {
  const byCode = new Map<Code, CodeRecord>();
  const byRoom = new Map<AppId, CodeRecord>();
  const byClient = new Map<string, Set<CodeRecord>>();
  const due = new DueQueue<CodeRecord>();
  const guesses = guessLedger(now);
  let live = 0;

  function sweep(): void {
    const at = now();
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
    if (record.client === undefined) return;
    const held = byClient.get(record.client);
    held?.delete(record);
    if (held?.size === 0) byClient.delete(record.client);
  }

  function claim(candidates: Iterable<Code>, entry: NewCode, limits: CodeLimits): Claim {
    sweep();
    const at = now();
    const held = entry.client === undefined ? undefined : byClient.get(entry.client);
    if (limits.maxPerClient > 0 && held !== undefined && held.size >= limits.maxPerClient) {
      return { outcome: "client_full", retryAfterMs: untilFirstFree(held, at) };
    }
    if (live >= limits.maxLive || byCode.size >= limits.maxUsed) return { outcome: "crowded" };
    for (const code of candidates) {
      if (byCode.has(code)) continue;
      const expiresAt = at + entry.ttlMs;
      const { appId, client, restMs } = entry;
      add({ code, appId, client, restMs, expiresAt, state: "live", dueAt: expiresAt });
      return { outcome: "claimed", code, expiresAt };
    }
    return { outcome: "collided" };
  }

  function add(record: CodeRecord): void {
    if (record.state === "live") live++;
    byCode.set(record.code, record);
    byRoom.set(record.appId, record);
    due.add(record, record.dueAt);
    if (record.client === undefined) return;
    const held = byClient.get(record.client);
    if (held) held.add(record);
    else byClient.set(record.client, new Set([record]));
  }

  function take(code: Code): CodeEntry | undefined {
    const record = byCode.get(code);
    if (record?.state !== "live" || now() >= record.expiresAt) return undefined;
    live--;
    record.state = "used";
    due.add(record, now() + record.restMs);
    return record;
  }

  return {
    claim,
    take,
    guess(code, guesser) {
      const retryAfterMs = guesses.lockedFor(guesser);
      if (retryAfterMs > 0) return { outcome: "locked", retryAfterMs };
      const entry = take(code);
      if (entry !== undefined) return { outcome: "taken", entry };
      guesses.missed(guesser);
      return { outcome: "gone" };
    },
    counts() {
      sweep();
      return { live, resting: byCode.size - live };
    },
    ofRoom(appId) {
      sweep();
      return byRoom.get(appId);
    },
    sweep() {
      sweep();
      guesses.sweep();
    },
    records() {
      sweep();
      return [...byCode.values()];
    },
    restore: add,
    clients: () => byClient.size,
    guessers: guesses.size,
  };
}

function untilFirstFree(held: Iterable<CodeRecord>, at: number): number {
  let first = Number.POSITIVE_INFINITY;
  for (const record of held) {
    const freeAt = record.state === "live" ? record.expiresAt + record.restMs : record.dueAt;
    first = Math.min(first, freeAt);
  }
  return Math.max(0, first - at);
}
