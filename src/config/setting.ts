import type { Format } from "./formats.ts";

/** One thing an operator can set. Everything said about it anywhere derives from here. */
export type Setting = {
  /** The environment variable. */
  readonly variable: string;
  /** Other names of the variable, as the reference server knows it. */
  readonly aliases?: readonly string[];
  readonly schema: Format<unknown>;
  /** In the form the operator would write it. Empty: not set. */
  readonly default: string;
  /** One line, without a full stop. */
  readonly help: string;
  /** Its value is never shown. */
  readonly secret?: true;
} & (
  | { /** Its name in `Config`. */ readonly key: string; readonly noMeaning?: never }
  | { /** Why it is accepted but does nothing here. */ readonly noMeaning: string }
);

export const kib = 1_024;
export const mib = 1_024 * kib;
export const gib = 1_024 * mib;

/** The greatest number of anything counted, for those that have no natural bound. */
export const maxCount = 1_000_000_000;

/** The smallest bound on a message that the reference server starts with. */
export const minMessageBytes = 1_025;
