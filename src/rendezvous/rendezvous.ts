import type { Client } from "../admission/clients.ts";
import { type AccountKind, accountKinds, limitOf, shareOf } from "../base/account.ts";
import type { Random } from "../base/clock.ts";
import { type Code, newAppId } from "../base/ids.ts";
import { andThen, type MaybePromise } from "../base/maybe-promise.ts";
import type { Config } from "../config/config.ts";
import type { CodeEntry, Codes, Guess, NewCode } from "../engine/engine.ts";
import type { RoomRefusal } from "../protocol/frames.ts";
import type { ConnectionLog } from "../telemetry/connection-log.ts";
import type { Log } from "../telemetry/log.ts";
import type { CodeDigits, Refusal, Tally } from "../telemetry/tally.ts";
import {
  type CodeLength,
  type CodeLengthOptions,
  calmMisses,
  codeLengths,
  serves,
} from "./code-length.ts";

/** Settings and dependencies. `redeemFailures` is the limit within the engine's `redeemWindowMs`. */
interface RendezvousOptions
  extends CodeLengthOptions,
    Pick<Config, "roomTtlMs" | "codesPerClient" | "redeemFailures"> {
  readonly codes: Codes;
  readonly random: Random;
  readonly tally: Pick<Tally, "codesMinted" | "codesRedeemed" | "codeMisses">;
  readonly connectionLog?: ConnectionLog | undefined;
}

/** Whether codes are being guessed, judged by the wrong codes of all clients. */
interface Guessing {
  /** Wrong codes within `redeemWindowMs` and the window before it. */
  readonly recentMisses: number;
  /** An attack is detected: there are more misses than mistyped codes explain. */
  readonly shows: boolean;
  /** New codes have at least this many digits now. */
  readonly digits: number;
}

export interface Rendezvous {
  /**
   * Mints a code for a new room. Every free code is equally likely. It lives `ttlMs`, at least 1 s and at
   * most `roomTtlMs`, which is also the default. The codes of a shared client are longer, since guesses
   * cannot be distinguished from mistyped codes of others behind the same address.
   */
  mint(request: {
    readonly ttlMs: number | undefined;
    readonly client: Client;
  }): MaybePromise<Minted | Unminted>;
  /**
   * Takes the code out and returns its room, at most once. `gone`: the code is unknown, used or expired.
   * `withdrawn`: too many wrong codes of its length were tried. `locked`: the client had too many misses,
   * so the code was not checked.
   */
  redeem(code: Code, client: Client): MaybePromise<Guess>;
  /** As of this node's last mint, redeem or sweep. */
  guessing(): Guessing;
}

export interface Minted extends CodeEntry {
  readonly outcome: "minted";
  readonly code: Code;
}

interface Unminted {
  /** The limit of this client (`client_full`) or of all clients together (`codes_full`) is reached. */
  readonly outcome: "client_full" | "codes_full";
  /** When to try again: exact for `client_full`, an estimate for `codes_full`. */
  readonly retryAfterMs: number;
}

/** The codes of a shared client have this many more digits. */
const sharedExtraDigits = 2;
const minTtlMs = 1_000;
/** At most half of a length's codes are in use, so at most one in 65,536 mints finds no free code. */
const drawsPerLength = 16;
/** When all codes are in use, many of them expire within this time. */
const codesFullRetryMs = 30_000;

export function rendezvous(options: RendezvousOptions): Rendezvous {
  const { codes, random, roomTtlMs, redeemFailures, tally, connectionLog } = options;
  const quotas = accountKinds.map((kind) => [kind, quotaOf(kind, options)]);
  const maxHeld = Object.fromEntries(quotas) as Record<AccountKind, number>;
  const lengths = codeLengths(options).map((length) => ({ ...length, maxHeld }));

  /** Claims a code of `lengths[index]`, or of the next length if that one is too crowded. */
  function claimFrom(
    index: number,
    entry: NewCode,
    address: string,
  ): MaybePromise<Minted | Unminted> {
    const length = lengths[index];
    if (length === undefined) return { outcome: "codes_full", retryAfterMs: codesFullRetryMs };
    return andThen(codes.claim(new Draws(length, random), entry, length), (claim) => {
      switch (claim.outcome) {
        case "claimed": {
          const { appId } = entry;
          const { code, expiresAt } = claim;
          tally.codesMinted++;
          connectionLog?.minted(appId, address);
          return { outcome: "minted", code, appId, expiresAt };
        }
        case "client_full":
          return claim;
        case "crowded":
        case "collided":
          return claimFrom(index + 1, entry, address);
        default:
          return claim satisfies never;
      }
    });
  }

  return {
    mint({ ttlMs = roomTtlMs, client }) {
      const livesMs = Math.min(Math.max(Math.round(ttlMs), minTtlMs), roomTtlMs);
      const from = client.shared ? Math.min(sharedExtraDigits, lengths.length - 1) : 0;
      const { accounts, address } = client;
      const entry = { appId: newAppId(), ttlMs: livesMs, restMs: roomTtlMs, accounts };
      return claimFrom(firstServing(lengths, from, codes.recentMisses()), entry, address);
    },
    redeem(code, { accounts, address }) {
      return andThen(codes.guess(code, accounts, redeemFailures), (guess) => {
        if (guess.outcome === "gone") tally.codeMisses[code.length as CodeDigits]++;
        if (guess.outcome !== "taken") return guess;
        tally.codesRedeemed++;
        connectionLog?.redeemed(guess.entry.appId, address);
        return guess;
      });
    },
    guessing() {
      const recentMisses = codes.recentMisses();
      const shows = recentMisses > calmMisses(options);
      const digits =
        lengths[firstServing(lengths, 0, recentMisses)]?.digits ?? options.codeDigitsMax;
      return { recentMisses, shows, digits };
    },
  };
}

/** The first length from `index` on that recent misses allow, or the last one. */
function firstServing(lengths: readonly CodeLength[], index: number, misses: number): number {
  if (misses === 0) return index; // The usual case, made cheap.
  const found = lengths.findIndex((length, i) => i >= index && serves(length, misses));
  return found === -1 ? lengths.length - 1 : found;
}

/** How many codes an account may hold: its limit, or its share of all codes if that is less. */
function quotaOf(kind: AccountKind, options: RendezvousOptions): number {
  const { codeDigitsMax, maxCodes, codesPerClient } = options;
  if (codesPerClient === 0) return Number.MAX_SAFE_INTEGER;
  const share = shareOf({ kind }, Math.min(maxCodes, 10 ** codeDigitsMax / 2));
  return Math.min(share, limitOf({ kind }, codesPerClient));
}

/** The reason in the metrics, the problem code, and when to try again if that is known. */
type RefusedCode = readonly [Refusal, RoomRefusal, { readonly retryAfterMs: number }?];

export function unminted(refused: Unminted): RefusedCode {
  const counted = refused.outcome === "client_full" ? "codes_per_client" : "codes_full";
  return [counted, refused.outcome, { retryAfterMs: refused.retryAfterMs }];
}

export function unredeemed(
  guess: Exclude<Guess, { outcome: "taken" }>,
  { shared }: Client,
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
 * Draws random codes of a length, each equally likely, including those with leading zeros. Not a
 * generator, which would make minting a fifth slower.
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
 * Checks the misses each time it is called. Warns when an attack is detected, when it makes new codes
 * longer, and when it is over. Never logs a code.
 */
export function guessWatch(guessing: () => Guessing, log: Pick<Log, "warn">): () => void {
  /** The number of digits in the last warning; 0 while no attack is detected. */
  let warnedDigits = 0;
  return () => {
    const { shows, digits, recentMisses } = guessing();
    if (shows ? digits <= warnedDigits : warnedDigits === 0) return;
    warnedDigits = shows ? digits : 0;
    const text = shows ? "codes are being guessed" : "codes are not being guessed any more";
    log.warn(text, { misses: recentMisses, newCodeDigits: digits });
  };
}
