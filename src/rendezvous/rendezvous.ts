import { type Account, type AccountKind, accountKinds, limitOf, shareOf } from "../base/account.ts";
import type { Random } from "../base/clock.ts";
import { type AppId, type Code, newAppId } from "../base/ids.ts";
import { andThen, type MaybePromise } from "../base/maybe-promise.ts";
import type { Claim, CodeEntry, Codes, Guess, NewCode } from "../engine/engine.ts";
import type { RoomRefusal } from "../protocol/frames.ts";
import type { Log } from "../telemetry/log.ts";
import type { CodeDigits, Refusal, Tally } from "../telemetry/tally.ts";
import {
  type CodeLength,
  type CodeLengthOptions,
  calmMisses,
  codeLengths,
  serves,
} from "./code-length.ts";

export interface RendezvousOptions extends CodeLengthOptions {
  readonly codes: Codes;
  readonly random: Random;
  /** How long a code lives unless asked for less, and how long it rests afterwards. */
  readonly roomTtlMs: number;
  /** Live and resting codes one client may hold; 0: no limit, and no share of all either. */
  readonly maxPerClient: number;
  /** Misses of one client within the engine's `redeemWindowMs` at which it is locked; 0: no limit. */
  readonly redeemFailures: number;
  readonly tally: Pick<Tally, "codesMinted" | "codesRedeemed" | "codeMisses">;
}

/** Who mints or redeems, as far as limits go. */
export interface RendezvousClient {
  readonly accounts: readonly Account[];
  readonly shared: boolean;
}

/** What wrong codes of everybody have come to. */
interface Guessing {
  /** Wrong codes within `redeemWindowMs` and the window before it. */
  readonly recentMisses: number;
  /** More than people mistype: 1 % of the shortest codes. */
  readonly shows: boolean;
  /** Fewest digits that a new code has for it. */
  readonly digits: number;
}

export interface Rendezvous {
  /**
   * A code for a room of its own, drawn evenly from those that are free. It lives `ttlMs`, at least
   * 1 s and at most `roomTtlMs`; without `ttlMs` just that. The codes of a shared client are longer:
   * guesses from behind its address cannot be told from typing errors.
   */
  mint(request: {
    readonly ttlMs: number | undefined;
    readonly client: RendezvousClient;
  }): MaybePromise<Minted | Unminted>;
  /**
   * The room of the code, to one caller once. `gone` when unknown, used or expired; `withdrawn` when
   * so many wrong codes of its length were tried that it is not safe any more. `locked` when the
   * client has missed too often, whatever the code.
   */
  redeem(code: Code, client: RendezvousClient): MaybePromise<Guess>;
  /** As of the last mint, redeem or sweep; with a shared store, of this node. */
  guessing(): Guessing;
}

export interface Minted extends CodeEntry {
  readonly outcome: "minted";
  readonly code: Code;
}

export interface Unminted {
  /** `client_full`: the client holds as many codes as it may. `codes_full`: everybody together. */
  readonly outcome: "client_full" | "codes_full";
  /** When to ask again. Exact for `client_full`, a guess for `codes_full`. */
  readonly retryAfterMs: number;
}

/** Digits that the codes of a shared client have more than others. */
const sharedExtraDigits = 2;
const minTtlMs = 1_000;
/** Draws a length. With at most half of its codes taken, all of them miss once in 65,536 mints. */
const drawsPerLength = 16;
/** Where codes have run out many are about to expire: soon enough to be of use. */
const codesFullRetryMs = 30_000;

export function rendezvous(options: RendezvousOptions): Rendezvous {
  const { codes, random, roomTtlMs, redeemFailures, tally } = options;
  const maxHeld = Object.fromEntries(accountKinds.map((kind) => [kind, quota(kind)])) as Record<
    AccountKind,
    number
  >;
  const lengths = codeLengths(options).map((length) => ({
    ...length,
    maxHeld,
  }));

  /** What an account may hold: so many codes, and no more than its share of those that can be held. */
  function quota(kind: AccountKind): number {
    const { maxDigits, maxCodes, maxPerClient } = options;
    if (maxPerClient === 0) return Number.MAX_SAFE_INTEGER;
    const share = shareOf({ kind }, Math.min(maxCodes, 10 ** maxDigits / 2));
    return Math.min(share, limitOf({ kind }, maxPerClient));
  }

  /** The first length from `index` on that serves in spite of guesses, or the last one. */
  function firstServing(index: number): number {
    const misses = codes.recentMisses();
    if (misses === 0) return index; // As ever: the rest is not worth its time then.
    const found = lengths.findIndex((length, i) => i >= index && serves(length, misses));
    return found === -1 ? lengths.length - 1 : found;
  }

  /** Claims at `lengths[index]`, and at the next one when that is too crowded. */
  function claimFrom(index: number, entry: NewCode): MaybePromise<Minted | Unminted> {
    const length = lengths[index];
    if (length === undefined) return { outcome: "codes_full", retryAfterMs: codesFullRetryMs };
    const claim = codes.claim(new Draws(length, random), entry, length);
    return andThen(
      claim,
      (answer) => concluded(answer, entry.appId) ?? claimFrom(index + 1, entry),
    );
  }

  function concluded(claim: Claim, appId: AppId): Minted | Unminted | undefined {
    switch (claim.outcome) {
      case "claimed":
        tally.codesMinted++;
        return { outcome: "minted", code: claim.code, appId, expiresAt: claim.expiresAt };
      case "client_full":
        return { outcome: "client_full", retryAfterMs: claim.retryAfterMs };
      case "crowded":
      case "collided":
        return undefined;
      default:
        return claim satisfies never;
    }
  }

  return {
    mint({ ttlMs = roomTtlMs, client }) {
      const livesMs = Math.min(Math.max(Math.round(ttlMs), minTtlMs), roomTtlMs);
      const from = client.shared ? Math.min(sharedExtraDigits, lengths.length - 1) : 0;
      return claimFrom(firstServing(from), {
        appId: newAppId(),
        ttlMs: livesMs,
        restMs: roomTtlMs,
        accounts: client.accounts,
      });
    },
    redeem(code, { accounts }) {
      return andThen(codes.guess(code, accounts, redeemFailures), (guess) => {
        if (guess.outcome === "taken") tally.codesRedeemed++;
        else if (guess.outcome === "gone") tally.codeMisses[code.length as CodeDigits]++;
        return guess;
      });
    },
    guessing() {
      const recentMisses = codes.recentMisses();
      const shows = recentMisses > calmMisses(options);
      const digits = lengths[firstServing(0)]?.digits ?? options.maxDigits;
      return { recentMisses, shows, digits };
    },
  };
}

/** As what a refusal is counted, its problem, and when to try again where that is known. */
export type RefusedCode = readonly [Refusal, RoomRefusal, { readonly retryAfterMs: number }?];

export function unminted(refused: Unminted): RefusedCode {
  const counted = refused.outcome === "client_full" ? "codes_per_client" : "codes_full";
  return [counted, refused.outcome, { retryAfterMs: refused.retryAfterMs }];
}

export function unredeemed(
  guess: Exclude<Guess, { outcome: "taken" }>,
  { shared }: RendezvousClient,
): RefusedCode {
  switch (guess.outcome) {
    case "locked":
      return ["guesses", shared ? "shared_misses" : "too_many_misses", guess];
    case "gone":
      return ["gone", "code_gone"];
    case "withdrawn":
      return ["withdrawn", "code_withdrawn"];
    default:
      return guess satisfies never;
  }
}

/**
 * Every code of the length equally likely at each draw, leading zeros included. No generator: making
 * one takes a fifth of what minting does.
 */
class Draws implements IterableIterator<Code, undefined> {
  private left = drawsPerLength;

  constructor(
    private readonly length: CodeLength,
    private readonly random: Random,
  ) {}

  [Symbol.iterator](): this {
    return this;
  }

  next(): IteratorResult<Code, undefined> {
    if (this.left-- === 0) return { done: true, value: undefined };
    const { space, digits } = this.length;
    return { done: false, value: String(this.random(space)).padStart(digits, "0") as Code };
  }
}

/**
 * Looks at the guesses each time it is called. Warns once when an attack shows, once more each time
 * that it has new codes grow, and once when it is over. No code is logged.
 */
export function guessWatch(guessing: () => Guessing, log: Pick<Log, "warn">): () => void {
  /** The most digits that were warned of; 0 while no attack shows. */
  let warnedDigits = 0;
  return () => {
    const { shows, digits, recentMisses } = guessing();
    if (shows ? digits <= warnedDigits : warnedDigits === 0) return;
    warnedDigits = shows ? digits : 0;
    const text = shows ? "codes are being guessed" : "codes are not being guessed any more";
    log.warn(text, { misses: recentMisses, newCodeDigits: digits });
  };
}
