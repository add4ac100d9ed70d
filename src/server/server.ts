import { descriptorShortage } from "../admission/socket-limits.ts";
import { type Clock, cryptoRandom, type Random, steadyNow, systemClock } from "../base/clock.ts";
import { stackOf } from "../base/errors.ts";
import { newNodeId } from "../base/ids.ts";
import { andThen } from "../base/maybe-promise.ts";
import type { Config } from "../config/config.ts";
import type { EngineLimits } from "../engine/engine.ts";
import { memoryEngine } from "../engine/memory/memory.ts";
import type { Log } from "../telemetry/log.ts";
import { type DropReason, Tally } from "../telemetry/tally.ts";
import type { PeerSocket } from "../ws/peer-socket.ts";
import type { Sockets } from "../ws/sockets.ts";
import { listenOrPutBack, type Restored, restoreState, saveState } from "./handover.ts";
import { collectWhenIdle } from "./idle-collection.ts";
import { checkHost, type Endpoint, listen } from "./listeners.ts";
import { type Base, buildParts, type Core, type Parts } from "./parts.ts";
import type { Tls } from "./tls.ts";

export interface ServerOptions {
  readonly log: Log;
  /** Ends the wait for a predecessor's state: the start then fails with a `StartError`. */
  readonly unwanted?: AbortSignal;
  /** Which of several nodes this is; a fresh id unless given. */
  readonly node?: string | undefined;
  /** Stand-ins for tests. */
  readonly clock?: Clock;
  readonly random?: Random;
  /** How old the text of the metrics may be, ms. */
  readonly metricsAgeMs?: number;
}

export interface RunningServer {
  readonly url: URL;
  readonly port: number;
  /** Reads the certificate's files again. */
  reloadTls(): Promise<void>;
  /**
   * Refuses new work, closes every peer, answers the requests in flight, saves the state for a
   * successor, and frees the port. False if the state could not be saved, which is logged.
   */
  stop(): Promise<boolean>;
}

/** How often expired codes, rooms and mail are removed. */
const sweepEveryMs = 1_000;
/** A single server closes its peers quickly: they stop retrying after some seconds. */
const aloneDrainMs = 200;
/** How long requests in flight may still take when the server stops. */
const stopGraceMs = 2_000;
const requestStepMs = 10;
/** The text of the metrics takes milliseconds to make: it is made once a second at most. */
const metricsAgeMs = 1_000;
/** Loaded only for a certificate: with Node's crypto it takes 1 MB. */
const certificates = () => import("./tls.ts");

/**
 * The composition root: the only `Bun.serve` and the only place that picks an engine.
 * Throws a `StartError` if the operator can fix it.
 */
export async function startServer(config: Config, options: ServerOptions): Promise<RunningServer> {
  const { log, clock = systemClock, random = cryptoRandom } = options;
  const tls = config.tlsCertFile === "" ? undefined : await (await certificates()).loadTls(config);
  await checkHost(config.host);
  const base: Base = { config, log, clock, random, tally: new Tally() };
  const { engine, node, restored } = await openEngine(base, options);
  const core: Core = {
    ...base,
    engine,
    node,
    metricsAgeMs: options.metricsAgeMs ?? metricsAgeMs,
    draining: false,
    onError: (error) => log.error("internal error", { error: stackOf(error) }),
  };
  return run(core, buildParts(core), tls, restored);
}

/** A memory engine has the state that the predecessor saved. Redis knows this node by its name. */
async function openEngine(base: Base, { unwanted, node = newNodeId() }: ServerOptions) {
  const { config, clock, tally } = base;
  const { roomTtlMs, redeemWindowMs, relayHoldMs, maxRooms } = config;
  const { mailboxMaxMails, mailboxMaxBytes, mailTotalBytes } = config;
  // No more of the settings: nodes send their limits to Redis, and secrets must not come there.
  const limits: EngineLimits = {
    ...{ roomTtlMs, redeemWindowMs, relayHoldMs, maxRooms },
    ...{ mailboxMaxMails, mailboxMaxBytes, mailTotalBytes },
    ...{ holdMaxFrames: 128, holdMaxBytes: 262_144 },
  };
  const dropped = (reason: DropReason, count: number) => {
    tally.drops[reason] += count;
  };
  if (config.redisUrl !== "") {
    const { sharedEngine } = await import("./shared-engine.ts");
    return { engine: await sharedEngine(base, { node, limits, dropped }), node };
  }
  const newEngine = () => memoryEngine({ now: steadyNow(clock), limits, dropped });
  const restored = await restoreState(base, newEngine, unwanted);
  return { engine: restored.engine, restored };
}

/** Opens a server of Bun's, as often as a certificate changes. */
function bunServer(core: Core, { handler }: Sockets, answer: Parts["answer"]) {
  return ({ port, reusePort, tls }: Endpoint) =>
    Bun.serve<PeerSocket>({
      hostname: core.config.host,
      ...{ port, reusePort },
      ...(tls && { tls }),
      development: false,
      // Above it Bun itself would answer a bare 413. A body that no handler reads takes no memory: Bun
      // stops reading from the connection, and skips the rest once the answer is sent.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      fetch: answer,
      websocket: handler,
      error(error) {
        core.onError(error);
        return new Response(null, { status: 500 });
      },
    });
}

/** Listens, and does the periodic work, until it is stopped. */
async function run(
  core: Core,
  { sockets, openSockets, answer, watchGuessing }: Parts,
  tls: Tls | undefined,
  restored: Restored | undefined,
): Promise<RunningServer> {
  const { config, engine, clock, tally, log } = core;
  const listeners = await listenOrPutBack(
    () => listen(config, tls, bunServer(core, sockets, answer)),
    restored,
  );
  const rotation =
    tls && (await (await certificates()).watchTls(config, tls, listeners.rotate, { clock, log }));
  const lacksDescriptors = descriptorShortage();
  const stopSweeping = clock.every(sweepEveryMs, () => {
    if (lacksDescriptors()) tally.idleClosed += listeners.closeIdle();
    return andThen(engine.sweep(), watchGuessing);
  });
  const stopCollecting = collectWhenIdle(tally, clock, config.roomTtlMs + 2 * sweepEveryMs);

  async function end(): Promise<boolean> {
    core.draining = true;
    log.info("draining", { sockets: openSockets() });
    stopSweeping();
    stopCollecting();
    rotation?.stop();
    await sockets.drain(restored ? aloneDrainMs : config.drainMs, Bun.sleep);
    // Listens to the end: new clients get a 503 with Retry-After, not a refused connection.
    await answered(listeners.pendingRequests);
    await listeners.stop();
    sockets.stop();
    const isSaved = restored?.stateFile
      ? await saveState(restored.stateFile, restored.engine, log)
      : true;
    await engine.close();
    return isSaved;
  }

  let ended: Promise<boolean> | undefined;
  return {
    url: listeners.url,
    port: listeners.port,
    reloadTls: () => rotation?.reload() ?? Promise.resolve(),
    stop() {
      // Once: a second call would overwrite the state that a successor has taken over.
      ended ??= end();
      return ended;
    },
  };
}

/** Waits for the requests in flight, but no longer than the grace for slow clients. */
async function answered(pending: () => number): Promise<void> {
  for (let waited = 0; pending() > 0 && waited < stopGraceMs; waited += requestStepMs) {
    await Bun.sleep(requestStepMs);
  }
}
