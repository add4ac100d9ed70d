import type { Env } from "../config/config.ts";

/** One thing the program can do. */
export interface Command {
  readonly name: string;
  /** One line, without a full stop. */
  readonly summary: string;
  /** What may follow the command's name: `URL [--insecure]`. Empty for nothing. */
  readonly usage: string;
  /** Its own options, beside the settings' flags; each with one line on what it does. */
  readonly options?: readonly (readonly [option: string, help: string])[];
  /** It takes a flag for every setting. */
  readonly takesSettings: boolean;
  /**
   * `args` are those after the command's name. Answers the exit code: 0 done, 1 it could not be
   * done, 2 it was called wrongly. What it throws is a bug.
   */
  readonly run: (args: readonly string[], env: Env) => Promise<number>;
}
