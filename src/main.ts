import { messageOf, StartError } from "./base/errors.ts";
import { nearest } from "./base/nearest.ts";
import { version } from "./base/version.ts";
import { config } from "./cli/config-command.ts";
import { doctor } from "./cli/doctor/doctor.ts";
import { withEnvFile } from "./cli/env-file.ts";
import { healthcheck } from "./cli/healthcheck.ts";
import { type Command, commandHelp, programHelp, settingsHelp } from "./cli/help.ts";
import { serve } from "./cli/serve.ts";
import { type Env, readConfig } from "./config/config.ts";

/** All but help and version, in the order in which they are shown. */
const commands: readonly Command[] = [serve, healthcheck, doctor, config];

/** Runs the command that the arguments name, or serves, and answers the exit code. */
async function main(argv: readonly string[]): Promise<number> {
  const environment = await withEnvFile(argv, process.env);
  if ("fault" in environment) return wrongCall(environment.fault);
  const { env, args } = environment;
  const [first = "", ...rest] = args;
  if (first === "version" || args.includes("--version") || args.includes("-v"))
    return print(version);
  if (first === "help") return help(rest[0]);
  const named = first !== "" && !first.startsWith("-");
  const asksHelp = args.includes("--help") || args.includes("-h");
  if (asksHelp) return help(named ? first : undefined);
  const command = named ? find(first) : serve;
  if (command === undefined) return unknownCommand(first);
  return run(command, named ? rest : args, env);
}

function help(name: string | undefined): number {
  if (name === undefined) return print(programHelp(commands, serve));
  if (name === "settings") return print(settingsHelp());
  const command = find(name);
  return command === undefined ? unknownCommand(name) : print(commandHelp(command));
}

function find(name: string): Command | undefined {
  return commands.find((command) => command.name === name);
}

function unknownCommand(name: string): number {
  const names = [...commands.map((command) => command.name), "help", "version"];
  const close = nearest(name, names);
  const remedy = close === undefined ? "See --help for all commands." : `Did you mean ${close}?`;
  return wrongCall(`Unknown command ${JSON.stringify(name)}. ${remedy}`);
}

function wrongCall(fault: string): number {
  process.stderr.write(`${fault}\n`);
  return 2;
}

function print(text: string): number {
  process.stdout.write(`${text}\n`);
  return 0;
}

async function run(command: Command, args: readonly string[], env: Env): Promise<number> {
  try {
    return await command.run(args, env);
  } catch (error) {
    const isExpected = error instanceof StartError;
    process.stderr.write(`${isExpected ? "" : "Unexpected error: "}${messageOf(error)}\n`);
    if (isExpected) return 1;
    const reading = readConfig(env, args);
    const debug = "config" in reading && ["trace", "debug"].includes(reading.config.logLevel);
    if (debug && error instanceof Error) process.stderr.write(`${error.stack}\n`);
    return 1;
  }
}

process.exit(await main(process.argv.slice(2)));
