import type { MissAllowance } from "../engine/engine.ts";

export interface CodeLengthOptions {
  /** Digits of the shortest codes: 4 or more. */
  readonly minDigits: number;
  /** Digits of the longest codes: `minDigits` to 8. */
  readonly maxDigits: number;
  /** Live and resting codes together never exceed this. */
  readonly maxCodes: number;
}

/** One length, and how far it serves. Both bounds count all codes, this new one and longer ones included. */
export interface CodeLength {
  readonly digits: number;
  /** How many codes of this length there are. */
  readonly space: number;
  readonly maxLive: number;
  /** Live and resting. */
  readonly maxUsed: number;
  /** How many misses a new code of this length outlives, by the recent misses of everybody. */
  readonly allowances: readonly MissAllowance[];
}

/** The most likely that a code is taken by a guess, as 1 in … : one minted before an attack shows, … */
const oneInBefore = 20;
/** … and one minted while it shows. */
const oneInDuring = 100;

/**
 * The lengths in the order in which to try them: codes are as short as the crowd and the guesses
 * allow. A length serves while at most 1 % of its codes are live, so that a blind guess rarely hits
 * one, and at most half are live or resting, so that a draw soon finds a free one. Past the greatest
 * length there is nothing safer to go to: there only the half counts.
 *
 * An attack shows once recent misses are more than 1 % of the shortest codes. From then on a length
 * serves while they are at most 0.1 % of its codes: an attack has to grow several times over within
 * the life of a code to have it withdrawn. At the greatest length there is again no such bound.
 *
 * A code is allowed so many misses that a guess takes it with a chance of at most 1 in 20, or 1 in
 * 100: since half of the length may be in use, one of n guesses hits it with up to 2 n / space.
 * Where recent misses are past 1 % even of the longest codes, a chance of 1 in 20 has to do.
 */
export function codeLengths(options: CodeLengthOptions): readonly CodeLength[] {
  const { minDigits, maxDigits, maxCodes } = options;
  const calm = calmMisses(options);
  const lengths: CodeLength[] = [];
  for (let digits = minDigits; digits <= maxDigits; digits++) {
    const space = 10 ** digits;
    const isLast = digits === maxDigits;
    const maxUsed = Math.min(space / 2, maxCodes);
    const maxLive = isLast ? maxUsed : space / 100;
    const before = Math.floor(space / 2 / oneInBefore);
    const during = Math.floor(space / 2 / oneInDuring);
    const serves = isLast ? space / 100 : space / 1_000;
    const allowances: MissAllowance[] = [{ upToRecent: calm, misses: before }];
    if (serves > calm) allowances.push({ upToRecent: serves, misses: during });
    if (isLast) allowances.push({ upToRecent: Number.MAX_SAFE_INTEGER, misses: before });
    lengths.push({ digits, space, maxLive, maxUsed, allowances });
  }
  return lengths;
}

/** Up to so many recent misses, people mistype codes; past it an attack shows. */
export function calmMisses({ minDigits }: Pick<CodeLengthOptions, "minDigits">): number {
  return 10 ** minDigits / 100;
}

/** Whether codes of this length may be minted after so many recent misses. */
export function serves({ allowances }: CodeLength, recentMisses: number): boolean {
  return allowances.some(({ upToRecent }) => recentMisses <= upToRecent);
}
