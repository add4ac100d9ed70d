import type { Server } from "bun";
import { clients } from "../admission/clients.ts";
import { socketsWithinOpenFiles } from "../admission/open-files.ts";
import { originRule } from "../admission/origin.ts";
import { fixedWindow } from "../admission/rate-limit.ts";
import { socketLimits } from "../admission/socket-limits.ts";
import { turnBudget } from "../admission/turn-budget.ts";
import { parseAddressSet } from "../base/address.ts";
import { type Clock, cryptoRandom, type Random, steadyNow, systemClock } from "../base/clock.ts";
import { newNodeId } from "../base/ids.ts";
import { andThen, type MaybePromise } from "../base/maybe-promise.ts";
import { SharedBudget } from "../base/shared-budget.ts";
import { loadTls, type Tls } from "../base/tls.ts";
import { version } from "../base/version.ts";
import type { Config } from "../config/config.ts";
import type { Engine, EngineLimits } from "../engine/engine.ts";
import { type MemoryEngine, memoryEngine } from "../engine/memory/memory.ts";
import { createApp, pathOf } from "../http/app.ts";
import { endConnection, isLongBodied } from "../http/body.ts";
import { guessWatch } from "../rendezvous/guess-watch.ts";
import { iceSource } from "../rendezvous/ice.ts";
import { rendezvous } from "../rendezvous/rendezvous.ts";
import type { SignalingContext } from "../signaling/context.ts";
import { LargeFrames } from "../signaling/large-frames.ts";
import { connectionLog } from "../telemetry/connection-log.ts";
import type { Log } from "../telemetry/log.ts";
import { Tally } from "../telemetry/tally.ts";
import type { PeerSocket } from "../ws/peer-socket.ts";
import { createSockets } from "../ws/sockets.ts";
import { createUpgrade } from "../ws/upgrade.ts";
import { listenOrPutBack, restoreState, saveState } from "./handover.ts";
import { checkHost } from "./host.ts";
import { collectWhenIdle } from "./idle-collection.ts";
import { listen } from "./listeners.ts";
import { watchTls } from "./tls-rotation.ts";

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
   * Turns new work away, sends every peer off, finishes what is in flight, saves what a successor
   * needs, and frees the port. False when that could not be saved, which the log tells.
   */
  stop(): Promise<boolean>;
}

const behindUnknownProxy =
  "An untrusted proxy tells whom it asks for: all its clients count as one, with the limits of a site. " +
  "Name it in TRUST_PROXY if it is yours.";
/** How often what has expired is collected. */
const sweepEveryMs = 1_000;
/** Alone, a server sends its peers away at once: they give up trying after some seconds. */
const aloneDrainMs = 200;
/** How long requests in flight may still take when the server stops. */
const stopGraceMs = 2_000;
const requestStepMs = 10;
/** ICE servers that cost their operator traffic, given to one client in an hour. */
const iceGrants = { perMin: 30, windowMs: 3_600_000 };
/** The text of the metrics takes milliseconds to make: once a second, whoever asks. */
const metricsAgeMs = 1_000;
/** Clients a limiter tells apart in one window; later ones share a bucket. */
const limiterKeys = 100_000;

// Loaded when first asked for: many servers never are, and what is loaded costs time at the start and
// memory for good. (prom-client was a quarter of either, and of the time to collect garbage.)
const loadMetrics = async () => (await import("../telemetry/metrics.ts")).metrics;
const loadSharedEngine = async () => (await import("./shared-engine.ts")).sharedEngine;
const loadPage = async () => (await import("../page/page.ts")).page;

/**
 * The composition root: the only `Bun.serve` and the only place that picks an engine.
 * Throws a `StartError` for what the operator can put right.
 */
export async function startServer(config: Config, options: ServerOptions): Promise<RunningServer> {
  const { log, node = newNodeId(), clock = systemClock, random = cryptoRandom } = options;
  const tls = await loadTls(config);
  await checkHost(config.host);
  const tally = new Tally();
  const bounds: EngineLimits = { ...config, holdMaxFrames: 128, holdMaxBytes: 262_144 };
  const heir =
    config.redisUrl === ""
      ? await restoreState(
          config,
          () => newEngine(bounds, clock, tally),
          clock,
          log,
          options.unwanted,
        )
      : undefined;
  const memory = heir?.engine;
  const engine: Engine =
    memory ??
    (await (
      await loadSharedEngine()
    )(config, { node, clock, random, tally, log, limits: bounds }));
  let draining = false;
  const onError = (error: unknown) => log.error("internal error", { error: describe(error) });
  const iceLimit = fixedWindow({
    ...iceGrants,
    monotonicMs: clock.monotonicMs,
    maxKeys: limiterKeys,
  });
  const ice = iceSource({
    ...config,
    rooms: engine.rooms,
    now: engine.now,
    limiter: iceLimit,
  });
  const context: SignalingContext = {
    engine,
    clock,
    tally,
    heartbeatMs: config.heartbeatMs,
    wsMaxMsgBytes: config.wsMaxMsgBytes,
    framesPerSec: config.framesPerSec,
    largeFrames: new LargeFrames(clock),
    queued: new SharedBudget(
      config.wsBufferTotalBytes,
      config.socketsPerClient === 0 ? Number.POSITIVE_INFINITY : config.wsMaxMsgBytes,
    ),
    iceServers: ice.offer,
  };
  const limits = socketLimits({
    max: config.maxSockets || socketsWithinOpenFiles(),
    perClient: config.socketsPerClient,
  });
  const told = config.logLevel === "debug" ? connectionLog(log, config.logClient) : undefined;
  const sockets = createSockets(context, config, limits, onError, told);
  const allowsOrigin = originRule(config);
  const httpLimit = fixedWindow({
    perMin: config.httpRatePerMin,
    monotonicMs: clock.monotonicMs,
    maxKeys: limiterKeys,
  });
  const wsLimit = fixedWindow({
    perMin: config.wsRatePerMin,
    monotonicMs: clock.monotonicMs,
    maxKeys: limiterKeys,
  });
  const known = clients({
    trusted: parseAddressSet(config.trustProxy) ?? (() => false),
    ignoreHeaders: config.trustProxy === "none",
    clientIpHeader: config.clientIpHeader,
    onShared: (address) => log.warn(behindUnknownProxy, { address }),
  });
  /** Any server that listens can tell a request's address; the one asked last does. */
  let asked: Server<PeerSocket> | undefined;
  const clientOf = (request: Request) =>
    known.of(asked?.requestIP(request)?.address ?? "", request.headers);

  const meetings = rendezvous({
    codes: engine.codes,
    random,
    tally,
    roomTtlMs: config.roomTtlMs,
    minDigits: config.codeDigits,
    maxDigits: config.codeDigitsMax,
    maxPerClient: config.codesPerClient,
    maxCodes: config.maxCodes,
    redeemFailures: config.redeemFailures,
  });
  const watchGuessing = guessWatch(meetings.guessing, log);
  const app = createApp({
    rendezvous: meetings,
    ice,
    loadPage: config.demo ? loadPage : undefined,
    basePath: config.basePath,
    draining: () => draining,
    ready: () => (draining ? "The server is shutting down." : engine.ready()),
    loadMetrics: async () =>
      (await loadMetrics())({
        tally,
        sizes: () => (memory || tally.store.isUp ? engine.sizes() : undefined),
        limiters: () => ({ http: httpLimit, ws: wsLimit, ice: iceLimit }),
        deferredRequests: () => requests.deferred(),
        monotonicMs: clock.monotonicMs,
        maxAgeMs: options.metricsAgeMs ?? metricsAgeMs,
        queuedBytes: () => context.queued.used,
        largeFrames: context.largeFrames,
        process: {
          version,
          bun: Bun.version,
          engine: memory ? "memory" : "redis",
          node: memory ? undefined : node,
          maxSockets: limits.max,
          sockets: limits.size,
          socketClients: limits.clients,
          sharedClients: known.sharedCount,
          guessing: meetings.guessing,
        },
      }),
    metricsRoute: config.metricsRoute,
    metricsToken: config.metricsToken,
    allowsOrigin,
    limiter: httpLimit,
    clientOf,
    tally,
    onError,
  });
  const upgrade = createUpgrade({
    sockets,
    rooms: engine.rooms,
    allowsOrigin,
    wsLimit,
    socketLimits: limits,
    draining: () => draining,
    clientOf,
    tally,
    connectionLog: told,
  });

  function noted(request: Request, response: Response): Response {
    if (response.status >= 400)
      told?.refusedRequest(request, response.status, clientOf(request).address);
    return response;
  }

  const requests = turnBudget((run) => void setImmediate(run));
  function answerTo(
    request: Request,
    self: Server<PeerSocket>,
  ): MaybePromise<Response | undefined> {
    asked = self;
    if (wsPaths.has(pathOf(request))) return upgrade(request, self);
    const answer = app.fetch(request);
    return told ? andThen(answer, (response) => noted(request, response)) : answer;
  }

  const wsPaths = new Set([`${config.basePath}/ws`, `${config.basePath}/ws/`]);
  const serve = (socket: { port: number; reusePort: boolean; tls: Tls | undefined }) =>
    Bun.serve<PeerSocket>({
      hostname: config.host,
      port: socket.port,
      reusePort: socket.reusePort,
      ...(socket.tls ? { tls: socket.tls } : {}),
      development: false,
      // Past it Bun answers itself, a bare 413. A body that no handler reads is never held: Bun stops
      // to read from the connection, and skips the rest once the answer is sent.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      fetch(request, self) {
        const turn = requests.take();
        const answer =
          turn === undefined ? answerTo(request, self) : turn.then(() => answerTo(request, self));
        return isLongBodied(request.headers) ? andThen(answer, endConnection) : answer;
      },
      websocket: sockets.handler,
      error(error) {
        onError(error);
        return new Response(null, { status: 500 });
      },
    });
  const listeners = await listenOrPutBack(() => listen({ port: config.port, tls, serve }), heir);
  const rotation = tls && (await watchTls(config, tls, listeners.rotate, { clock, log }));
  const stopSweeping = clock.every(sweepEveryMs, () =>
    andThen(engine.sweep(), () => watchGuessing()),
  );
  const stopCollecting = collectWhenIdle({
    clock,
    work: () => tally.work(),
    keptMs: config.roomTtlMs + 2 * sweepEveryMs,
    // At once: in the background it left most of it. 35 ms with 18,000 sockets, and nobody waits.
    collect: () => Bun.gc(true),
  });

  async function end(): Promise<boolean> {
    draining = true;
    log.info("draining", { sockets: limits.size() });
    stopSweeping();
    stopCollecting();
    rotation?.stop();
    await sockets.drain(memory ? aloneDrainMs : config.drainMs, passTime);
    // Listening to the end: who comes meanwhile is told to come back, and not refused.
    await answered(listeners.pendingRequests);
    await listeners.stop();
    sockets.stop();
    const isSaved = heir?.stateFile ? await saveState(heir.stateFile, heir.engine, log) : true;
    await engine.close();
    return isSaved;
  }

  let ended: Promise<boolean> | undefined;
  return {
    url: listeners.url,
    port: listeners.port,
    reloadTls: () => rotation?.reload() ?? Promise.resolve(),
    stop() {
      // Once: a second time would write a state that a successor has taken over.
      ended ??= end();
      return ended;
    },
  };
}

/** Waits for the requests in flight, but not for a client that dribbles its own. */
async function answered(pending: () => number): Promise<void> {
  for (let waited = 0; pending() > 0 && waited < stopGraceMs; waited += requestStepMs) {
    await passTime(requestStepMs);
  }
}

/** A server ends in real time, also one whose clock a test holds. */
function passTime(ms: number): Promise<void> {
  return new Promise((resolve) => systemClock.after(ms, resolve));
}

function newEngine(limits: EngineLimits, clock: Clock, tally: Tally): MemoryEngine {
  return memoryEngine({
    now: steadyNow(clock),
    limits,
    dropped(reason, count) {
      tally.drops[reason] += count;
    },
  });
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
