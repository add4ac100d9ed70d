import type { Account } from "../../base/account.ts";
import type { AppId, Code } from "../../base/ids.ts";
import type { Claim, CodeLimits, Codes, Guess, NewCode } from "../engine.ts";
import {
  type CodeRecord,
  type CodesTurn,
  claim,
  type Guesser,
  guess,
  type Misses,
  recentMisses,
} from "../rules/codes.ts";
import type { RoomCode } from "../rules/turn.ts";
import { DueQueue } from "./due-queue.ts";
import { MemoryList } from "./lists.ts";
import { partOfAppId, SplitMap } from "./split-map.ts";

/** The record of a code that is not free. `dueAt`: when it next expires or becomes free, ms. */
export interface KeptCode extends CodeRecord {
  isLive: boolean;
  dueAt: number;
}

/** At most this many codes of an account are scanned to compute Retry-After. */
const maxLookedThrough = 2_048;

/** Codes in Maps. One object is also the turn of every verb. Expired codes are handled before each verb. */
export class MemoryCodes implements Codes, CodesTurn {
  now = 0;
  private liveCodes = 0;
  private counts: Misses = { window: 0, current: 0, previous: 0, byDigits: {} };
  private readonly byCode = new SplitMap<Code, KeptCode>(Number);
  private readonly byRoom = new SplitMap<AppId, KeptCode>(partOfAppId);
  private readonly byAccount = new Map<string, MemoryList<KeptCode>>();
  private readonly byGuesser = new Map<string, Guesser>();
  private readonly due = new DueQueue<KeptCode>();

  constructor(
    private readonly time: () => number,
    readonly windowMs: number,
    private readonly redeemed: (appId: AppId) => void,
  ) {}

  // ---- the engine's verbs ----

  claim(candidates: Iterable<Code>, entry: NewCode, limits: CodeLimits): Claim {
    this.settle();
    // The rules iterate over the candidates once, so only those that are tried are drawn.
    return claim(this, candidates as readonly Code[], entry, limits);
  }

  guess(code: Code, accounts: readonly Account[], maxMisses: number): Guess {
    this.settle();
    const answer = guess(this, code, accounts, maxMisses);
    if (answer.outcome === "taken") this.redeemed(answer.entry.appId);
    return answer;
  }

  recentMisses(): number {
    return recentMisses(this);
  }

  sweep(): void {
    this.settle();
    for (const [key, { forgetAt }] of this.byGuesser) {
      if (this.now >= forgetAt) this.byGuesser.delete(key);
    }
  }

  sizes() {
    this.settle();
    return {
      codesLive: this.liveCodes,
      codesResting: this.byCode.size - this.liveCodes,
      codeClients: this.byAccount.size,
      guessers: this.byGuesser.size,
    };
  }

  /** The code that minted this room; undefined once it is free again. */
  ofRoom(appId: AppId): RoomCode | undefined {
    this.settle();
    const record = this.byRoom.get(appId);
    if (record === undefined) return undefined;
    const state = record.isLive ? "live" : record.isUsed ? "used" : "expired";
    return { state, expiresAt: record.expiresAt };
  }

  /** All live and resting codes. */
  records(): readonly KeptCode[] {
    this.settle();
    return [...this.byCode.values()];
  }

  /** Restores a saved record. */
  restore(record: KeptCode): void {
    if (record.isLive) this.liveCodes++;
    this.byCode.set(record.code, record);
    this.byRoom.set(record.appId, record);
    this.due.add(record, record.dueAt);
    for (const { key } of record.accounts) {
      const held = this.byAccount.get(key) ?? new MemoryList();
      this.byAccount.set(key, held);
      held.push(record);
    }
  }

  /** Expires live codes and frees resting ones that are due. */
  private settle(): void {
    this.now = this.time();
    for (;;) {
      const record = this.due.take(this.now);
      if (record === undefined) return;
      if (!record.isLive) {
        this.forget(record);
        continue;
      }
      this.liveCodes--;
      record.isLive = false;
      this.due.add(record, record.freeAt);
    }
  }

  private forget(record: KeptCode): void {
    this.byCode.delete(record.code);
    this.byRoom.delete(record.appId);
    for (const { key } of record.accounts) {
      const held = this.byAccount.get(key);
      held?.remove(record);
      if (held?.size === 0) this.byAccount.delete(key);
    }
  }

  // ---- the turn, as the rules use it ----

  code(code: Code): CodeRecord | undefined {
    return this.byCode.get(code);
  }

  claimed(record: CodeRecord): void {
    const kept = record as KeptCode;
    kept.isLive = true;
    kept.dueAt = record.expiresAt;
    this.restore(kept);
  }

  taken(record: CodeRecord): void {
    const kept = record as KeptCode;
    kept.isLive = false;
    this.liveCodes--;
    this.due.add(kept, kept.freeAt);
  }

  live(): number {
    return this.liveCodes;
  }

  inUse(): number {
    return this.byCode.size;
  }

  heldBy(account: string): number {
    return this.byAccount.get(account)?.size ?? 0;
  }

  firstFree(account: string): number {
    const some = this.byAccount.get(account)?.slice(0, maxLookedThrough) ?? [];
    return some.reduce((first, { freeAt }) => Math.min(first, freeAt), Number.POSITIVE_INFINITY);
  }

  misses(): Misses {
    return this.counts;
  }

  setMisses(misses: Misses): void {
    this.counts = misses;
  }

  guesser(account: string): Guesser | undefined {
    const guesser = this.byGuesser.get(account);
    return guesser !== undefined && this.now < guesser.forgetAt ? guesser : undefined;
  }

  guessers(): number {
    return this.byGuesser.size;
  }

  setGuesser(account: string, guesser: Guesser): void {
    this.byGuesser.set(account, guesser);
  }
}
