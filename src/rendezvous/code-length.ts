import type { Config } from "../config/config.ts";
import type { MissAllowance } from "../engine/engine.ts";

export type CodeLengthOptions = Pick<Config, "codeDigits" | "codeDigitsMax" | "maxCodes">;

/** A code length and its bounds. `maxLive` and `maxUsed` count codes of all lengths, and the new one. */
export interface CodeLength {
  readonly digits: number;
  /** How many codes of this length there are. */
  readonly space: number;
  readonly maxLive: number;
  /** Most live and resting codes. */
  readonly maxUsed: number;
  /** How many misses withdraw a new code. Depends on the recent misses of all clients. */
  readonly allowances: readonly MissAllowance[];
}

/** Guesses hit a code that was minted before the attack was detected with a chance of at most 1 in 20. */
const oneInBefore = 20;
/** For a code that is minted during a detected attack the chance is at most 1 in 100. */
const oneInDuring = 100;

/**
 * The code lengths, shortest first: codes are as short as live codes and guesses allow. A length is used
 * while at most 1 % of its codes are live, so that a blind guess rarely hits one, and while at most half
 * are live or resting, so that a draw soon finds a free one. The greatest length only has the second
 * bound, since no longer codes exist.
 *
 * An attack is detected when recent misses exceed 1 % of the number of shortest codes. From then on a
 * length is used while misses are at most 0.1 % of its codes. So an attack has to become several times
 * stronger within the life of a code to withdraw it. The greatest length does not have this bound.
 *
 * The allowed misses follow from the chance of 1 in 20 or 1 in 100. As half of a length may be in use, n
 * guesses hit a certain code with a chance of up to 2 n / space. While recent misses exceed 1 % even of
 * the longest codes, the chance is 1 in 20.
 */
export function codeLengths(options: CodeLengthOptions): readonly CodeLength[] {
  const { codeDigits, codeDigitsMax, maxCodes } = options;
  const calm = calmMisses(options);
  const lengths: CodeLength[] = [];
  for (let digits = codeDigits; digits <= codeDigitsMax; digits++) {
    const space = 10 ** digits;
    const isLast = digits === codeDigitsMax;
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

/** Up to this many recent misses are taken for mistyped codes. More are an attack. */
export function calmMisses({ codeDigits }: Pick<CodeLengthOptions, "codeDigits">): number {
  return 10 ** codeDigits / 100;
}

/** Whether codes of this length may be minted after this many recent misses. */
export function serves({ allowances }: CodeLength, recentMisses: number): boolean {
  return allowances.some(({ upToRecent }) => recentMisses <= upToRecent);
}
