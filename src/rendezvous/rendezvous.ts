import type { Random } from "../base/clock.ts";
import { type AppId, type Code, newAppId } from "../base/ids.ts";
import { andThen, type Later } from "../base/later.ts";
import type { Claim, CodeEntry, Codes, Guess, Guesser, NewCode } from "../engine/engine.ts";
import type { Tally } from "../telemetry/tally.ts";
import { type CodeLength, type CodeLengthOptions, codeLengths } from "./code-length.ts";

export interface RendezvousOptions extends CodeLengthOptions {
  readonly codes: Codes;
  readonly random: Random;
  /** How long a code lives unless asked for less, and how long it rests afterwards. */
  readonly roomTtlMs: number;
  /** Live and resting codes one client may hold; 0: no limit. */
  readonly maxPerClient: number;
  /** Misses of one client within `redeemWindowMs` at which it is locked; 0: no limit. */
  readonly redeemFailures: number;
  readonly redeemWindowMs: number;
  readonly tally: Pick<Tally, "codesMinted" | "codesRedeemed">;
}

/** Who mints or redeems, as far as limits go. */
export interface RendezvousClient {
  readonly key: string;
  readonly site: string | undefined;
  readonly shared: boolean;
}

export interface Rendezvous {
  /**
   * A code for a room of its own, drawn evenly from those that are free. It lives `ttlMs`, at least
   * 1 s and at most `roomTtlMs`; without `ttlMs` just that. A shared client has no quota, but its
   * codes are longer: guesses from behind its address cannot be told from typing errors.
   */
  mint(wish: {
    readonly ttlMs: number | undefined;
    readonly client: RendezvousClient;
  }): Later<Minted | Unminted>;
  /**
   * The room of the code, to one caller once. `gone` when unknown, used or expired. `locked` when
   * the client has missed too often, whatever the code; a shared client never is.
   */
  redeem(code: Code, client: RendezvousClient): Later<Guess>;
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
/** A /48 holds many subscribers' /64s, or one attacker's: it may miss this many times as often. */
const clientsPerSite = 16;
const minTtlMs = 1_000;
/** Draws a length. With at most half of its codes taken, all of them miss once in 65,536 mints. */
const drawsPerLength = 16;
/** Where codes have run out many are about to expire: soon enough to be of use. */
const codesFullRetryMs = 30_000;

export function rendezvous(options: RendezvousOptions): Rendezvous {
  const { codes, random, roomTtlMs, maxPerClient, tally } = options;
  const { redeemFailures, redeemWindowMs } = options;
  const lengths = codeLengths(options).map((length) => ({ ...length, maxPerClient }));

  /** Claims at `lengths[index]`, and at the next one when that is too crowded. */
  function claimFrom(index: number, entry: NewCode): Later<Minted | Unminted> {
    const length = lengths[index];
    if (length === undefined) return { outcome: "codes_full", retryAfterMs: codesFullRetryMs };
    const claim = codes.claim(new Draws(length, random), entry, length);
    return andThen(
      claim,
      (answer) => concluded(answer, entry.appId) ?? claimFrom(index + 1, entry),
    );
  }

  function guesserOf({ key, site, shared }: RendezvousClient): Guesser {
    if (shared || redeemFailures === 0) return { keys: [], windowMs: redeemWindowMs };
    const own = { key, limit: redeemFailures };
    if (site === undefined) return { keys: [own], windowMs: redeemWindowMs };
    const whole = { key: site, limit: redeemFailures * clientsPerSite };
    return { keys: [own, whole], windowMs: redeemWindowMs };
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
      const shortest = client.shared ? Math.min(sharedExtraDigits, lengths.length - 1) : 0;
      return claimFrom(shortest, {
        appId: newAppId(),
        ttlMs: livesMs,
        restMs: roomTtlMs,
        client: client.shared ? undefined : client.key,
      });
    },
    redeem(code, client) {
      return andThen(codes.guess(code, guesserOf(client)), (guess) => {
        if (guess.outcome === "taken") tally.codesRedeemed++;
        return guess;
      });
    },
  };
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
