import { networkInterfaces } from "node:os";
import { fewOpenFiles } from "../admission/socket-limits.ts";
import { systemClock } from "../base/clock.ts";
import { StartError } from "../base/errors.ts";
import { newNodeId } from "../base/ids.ts";
import { version } from "../base/version.ts";
import { type Config, problemList, readConfig } from "../config/config.ts";
import { type RunningServer, type ServerOptions, startServer } from "../server/server.ts";
import { createLog, jsonLine, type Log, lineRenderer } from "../telemetry/log.ts";
import { banner } from "./banner.ts";
import type { Command } from "./commands.ts";
import { logOutput } from "./log-output.ts";
import { lanAddresses } from "./network.ts";

/** How long writing the last lines of the log may take. */
const flushMs = 1_000;
/** How often lost lines are reported; a log that failed is tried again then at the latest. */
const reportLostEveryMs = 1_000;

/**
 * Runs the server until SIGTERM or SIGINT; a second signal ends it at once, with exit code 1. A server
 * that was started with an IPC channel also ends when that closes: with the process that started it.
 */
export const serve: Command = {
  name: "serve",
  summary: "Run the server",
  usage: "[FLAGS]",
  takesSettings: true,
  async run(args, env) {
    const reading = readConfig(env, args);
    if ("problems" in reading) {
      const heading = "The server cannot start with these settings:";
      process.stderr.write(problemList(heading, reading.problems));
      return 1;
    }
    const { config } = reading;
    const warnings = [...reading.warnings, fewOpenFiles() ?? []].flat();
    const isTerminal = process.stdout.isTTY === true;
    const render = lineRenderer(config.logFormat, isTerminal, env["NO_COLOR"]);
    const output = logOutput(process.stdout, systemClock);
    const node = config.redisUrl === "" ? undefined : newNodeId();
    const log = createLog({
      node,
      level: config.logLevel,
      write: output.write,
      now: systemClock.now,
      render,
    });
    const greets =
      isTerminal && render !== jsonLine && !["warn", "error"].includes(config.logLevel);
    if (!greets) for (const warning of warnings) log.warn(warning);
    logUncaught(log);
    let reported = 0;
    systemClock.every(reportLostEveryMs, () => {
      const lost = output.lost();
      // This line may be lost as well, and is counted in the next report then.
      if (lost > reported) log.warn("log lines lost", { lines: lost - reported, sinceStart: lost });
      reported = lost;
    });

    const stopped = stopSignal();
    const unwanted = new AbortController();
    void stopped.then(() => unwanted.abort());
    const server = await startOrExplain(config, { log, node, unwanted: unwanted.signal });
    if (server === undefined) {
      await output.flush(flushMs);
      return unwanted.signal.aborted ? 0 : 1;
    }
    // The executable starts with a higher threshold: what runs once is not worth compiling. Not at
    // once, or the first answer waits for what is compiled then.
    systemClock.after(1_000, () => Bun.unsafe.setJITPolicy(1));
    if (greets) output.write(greeting(config, server, warnings));
    else {
      const url = new URL(`${config.basePath}/`, server.url).href;
      log.info("listening", { url, host: config.host, port: server.port });
    }

    process.on("SIGHUP", () => void server.reloadTls());
    log.info("stopping", { signal: await stopped });
    const isSaved = await server.stop();
    await output.flush(flushMs);
    return isSaved ? 0 : 1;
  },
};

function greeting(config: Config, { port }: RunningServer, warnings: readonly string[]): string {
  const addresses = lanAddresses(config.host, networkInterfaces());
  return `${banner({ version, port, lanAddresses: addresses, config, warnings })}\n`;
}

/** Undefined when the server cannot start and the operator was shown why. */
async function startOrExplain(
  config: Config,
  options: ServerOptions,
): Promise<RunningServer | undefined> {
  try {
    return await startServer(config, options);
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return undefined;
  }
}

/** The first signal that asks to stop. The handlers stay: as PID 1 there are no default ones. */
function stopSignal(): Promise<NodeJS.Signals | "disconnect"> {
  return new Promise((resolve) => {
    let isStopping = false;
    const stop = (signal: NodeJS.Signals) => {
      if (isStopping) process.exit(1);
      isStopping = true;
      resolve(signal);
    };
    process.on("SIGTERM", stop);
    process.on("SIGINT", stop);
    if (process.connected) process.once("disconnect", () => resolve("disconnect"));
  });
}

/** An error in one event must not end all connections. */
function logUncaught(log: Log): void {
  process.on("uncaughtException", (error) => log.error("uncaught exception", describe(error)));
  process.on("unhandledRejection", (reason) => log.error("unhandled rejection", describe(reason)));
}

function describe(fault: unknown): { error: string; stack?: string | undefined } {
  return fault instanceof Error
    ? { error: fault.message, stack: fault.stack }
    : { error: String(fault) };
}
