import type { Env } from "../config/config.ts";
import { config } from "./config-command.ts";
import { doctor } from "./doctor/doctor.ts";
import { healthcheck } from "./healthcheck.ts";
import { serve } from "./serve.ts";

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
   * `args` are those after the command's name. Answers the exit code: 0 done, 1 failed, 2 wrong
   * arguments. Throws a `StartError` whose message is shown, with exit code 1; anything else that is
   * thrown is a bug.
   */
  readonly run: (args: readonly string[], env: Env) => Promise<number>;
}

/** Runs when the arguments do not name a command. */
export const defaultCommand: Command = serve;

/** All commands but help and version, in the order in which they are shown. */
export const commands: readonly Command[] = [serve, healthcheck, doctor, config];
