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
}

/**
 * The lengths in the order in which to try them: codes are as short as the crowd allows. A length
 * serves while at most 1 % of its codes are live, so that a blind guess rarely hits one, and at
 * most half are live or resting, so that a draw soon finds a free one. Past the greatest length
 * there is nothing safer to go to: there only the half counts.
 */
export function codeLengths(options: CodeLengthOptions): readonly CodeLength[] {
  const { minDigits, maxDigits, maxCodes } = options;
  const lengths: CodeLength[] = [];
  for (let digits = minDigits; digits <= maxDigits; digits++) {
    const space = 10 ** digits;
    const maxUsed = Math.min(space / 2, maxCodes);
    const maxLive = digits === maxDigits ? maxUsed : space / 100;
    lengths.push({ digits, space, maxLive, maxUsed });
  }
  return lengths;
}
