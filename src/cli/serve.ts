import { rm } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { fewOpenFiles } from "../admission/socket-limits.ts";
import { systemClock } from "../base/clock.ts";
import { messageOf, stackOf } from "../base/errors.ts";
import { newNodeId } from "../base/ids.ts";
import { isAnyAddress, lanAddresses } from "../base/network.ts";
import { type Config, type Env, requireConfig } from "../config/config.ts";
import type { SelfSigned } from "../server/self-signed.ts";
import { type RunningServer, type ServerOptions, startServer } from "../server/server.ts";
import { createLog, jsonLine, type Log, lineRenderer } from "../telemetry/log.ts";
import { banner, pageUrl } from "./banner.ts";
import { cacheFolder, openPage, ownNames, qrLines, writePortFile } from "./desk.ts";
import type { Command } from "./help.ts";
import { LogOutput } from "./log-output.ts";

/** How long writing the last lines of the log may take. */
const flushMs = 1_000;
/** How often lost lines are reported. The report also tests whether a log that failed works again. */
const reportLostEveryMs = 1_000;
/** How often the self-signed certificate is compared with the machine's addresses. */
const renewEveryMs = 60_000;

/**
 * Runs the server until SIGTERM or SIGINT; a second signal ends it at once, with exit code 1. A server
 * that was started with an IPC channel also ends when that closes: with the process that started it.
 */
export const serve: Command = {
  name: "serve",
  summary: "Run the server",
  takesSettings: true,
  async run(args, env) {
    const { config, warnings: ofSettings } = requireConfig(env, args);
    const warnings = [...ofSettings, fewOpenFiles() ?? []].flat();
    const isTerminal = process.stdout.isTTY === true;
    const render = lineRenderer(config.logFormat, isTerminal, env["NO_COLOR"]);
    const output = new LogOutput(process.stdout, systemClock);
    const node = config.redisUrl === "" ? undefined : newNodeId();
    const logAt = (level: Config["logLevel"]) =>
      createLog({ node, level, write: output.write, now: systemClock.now, render });
    const log = logAt(config.logLevel);
    const isQuiet = ["warn", "error"].includes(config.logLevel);
    const greets = isTerminal && render !== jsonLine && !isQuiet;
    if (!greets) for (const warning of warnings) log.warn(warning);
    logUncaught(log);
    reportLost(output, log);

    const stopped = stopSignal();
    const unwanted = new AbortController();
    void stopped.then(() => unwanted.abort());
    let running: Running;
    try {
      running = await start(config, env, { log, node, unwanted: unwanted.signal });
    } catch (error) {
      await output.flush(flushMs);
      if (!unwanted.signal.aborted) throw error;
      process.stderr.write(`${messageOf(error)}\n`);
      return 0;
    }
    // The executable starts with a higher threshold: code that runs once is not worth compiling. A
    // second later, or the first answer would wait for the compiler.
    systemClock.after(1_000, () => Bun.unsafe.setJITPolicy(1));
    if (greets) output.write(await greeting(config, running, warnings, env));
    else {
      // Logged at any level when the system chose the port, or when a person waits for the address.
      const isAsked = isTerminal || config.port === 0;
      announce(config, running, isAsked ? logAt("info") : log);
    }
    if (config.open && config.demo) {
      const host = isAnyAddress(config.host) ? "localhost" : config.host;
      const { url, port } = running;
      void openPage(`${pageUrl(host, { protocol: url.protocol, port, config })}/`, log);
    }

    process.on("SIGHUP", () => void running.reloadTls());
    log.info("stopping", { signal: await stopped });
    const isSaved = await running.stop();
    if (config.portFile !== "") await rm(config.portFile, { force: true });
    await output.flush(flushMs);
    return isSaved ? 0 : 1;
  },
};

function reportLost(output: LogOutput, log: Log): void {
  let reported = 0;
  systemClock.every(reportLostEveryMs, () => {
    const { lost } = output;
    // This line may be lost as well, and is counted in the next report then.
    if (lost > reported) log.warn("log lines lost", { lines: lost - reported, sinceStart: lost });
    reported = lost;
  });
}

/** A server, and the fingerprint of the certificate that it made itself. */
type Running = RunningServer & { readonly fingerprint?: string | undefined };

async function greeting(
  config: Config,
  { port, url: { protocol }, fingerprint }: Running,
  warnings: readonly string[],
  env: Env,
): Promise<string> {
  const addresses = lanAddresses(config.host, networkInterfaces());
  const facts = { protocol, port, lanAddresses: addresses, config, warnings, fingerprint };
  const [lan] = addresses;
  // Without colours the code could be inverted, which some phones cannot read.
  const hasQr = config.demo && lan !== undefined && !env["NO_COLOR"];
  const qr = hasQr ? await qrLines(pageUrl(lan, facts)) : [];
  return `${banner({ ...facts, qr })}\n`;
}

/** The line that programs wait for: docs/testing.md. */
function announce({ host, basePath }: Config, { url, port, fingerprint }: Running, log: Log): void {
  log.info("listening", { url: new URL(`${basePath}/`, url).href, host, port, fingerprint });
}

/** Throws a `StartError` if the server cannot start and the operator can fix it. */
async function start(config: Config, env: Env, options: ServerOptions): Promise<Running> {
  const { tlsSelfSigned, portFile } = config;
  const own = tlsSelfSigned ? await ownCertificate(config, env, options.log) : undefined;
  const { fingerprint, ...files }: Partial<SelfSigned> = own ?? {};
  const server = await startServer({ ...config, ...files }, options);
  try {
    if (portFile !== "") await writePortFile(portFile, server.port);
  } catch (error) {
    await server.stop();
    throw error;
  }
  return { ...server, fingerprint };
}

/** A self-signed certificate; renewed before it expires and when the machine's addresses change. */
async function ownCertificate(config: Config, env: Env, log: Log): Promise<SelfSigned> {
  const { selfSigned } = await import("../server/self-signed.ts");
  const certificate = () => selfSigned(cacheFolder(env), ownNames(config.host), systemClock);
  const first = await certificate();
  let { fingerprint } = first;
  systemClock.every(renewEveryMs, async () => {
    try {
      const latest = await certificate();
      if (latest.fingerprint === fingerprint) return;
      fingerprint = latest.fingerprint;
      log.info("a new certificate was made", { fingerprint });
    } catch (error) {
      log.error("no new certificate could be made", { reason: messageOf(error) });
    }
  });
  return first;
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

/** An error in one event must not end all connections, so it is only logged. */
function logUncaught(log: Log): void {
  const logged = (msg: string) => (fault: unknown) => log.error(msg, { error: stackOf(fault) });
  process.on("uncaughtException", logged("uncaught exception"));
  process.on("unhandledRejection", logged("unhandled rejection"));
}
