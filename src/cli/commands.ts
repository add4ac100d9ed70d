import type { Command } from "./command.ts";
import { config } from "./config-command.ts";
import { doctor } from "./doctor/doctor.ts";
import { healthcheck } from "./healthcheck.ts";
import { serve } from "./serve.ts";

/** What is run when the arguments name no command. */
export const defaultCommand: Command = serve;

/** All that the program can do beside telling about itself, in the order in which it is shown. */
export const commands: readonly Command[] = [serve, healthcheck, doctor, config];
