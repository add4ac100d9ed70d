import { networkInterfaces } from "node:os";
import type { Server } from "bun";
import { type Client, clients } from "../admission/clients.ts";
import { originRule, reportingRule } from "../admission/origin.ts";
import { fixedWindow } from "../admission/rate-limit.ts";
import { socketLimits, socketsWithinOpenFiles } from "../admission/socket-limits.ts";
import { turnBudget } from "../admission/turn-budget.ts";
import { parseAddressSet } from "../base/address.ts";
import type { Clock, Random } from "../base/clock.ts";
import { andThen, type MaybePromise } from "../base/maybe-promise.ts";
import { lanAddresses } from "../base/network.ts";
import { SharedBudget } from "../base/shared-budget.ts";
import { version } from "../base/version.ts";
import type { Config } from "../config/config.ts";
import type { Engine } from "../engine/engine.ts";
import { createApp, pathOf } from "../http/app.ts";
import { endConnection, isLongBodied } from "../http/body.ts";
import { guard } from "../http/guard.ts";
import { ProblemResponse } from "../http/problem.ts";
import { type IceSource, iceSource } from "../rendezvous/ice.ts";
import { guessWatch, rendezvous } from "../rendezvous/rendezvous.ts";
import type { SignalingContext } from "../signaling/context.ts";
import { LargeFrames } from "../signaling/large-frames.ts";
import { connectionLog } from "../telemetry/connection-log.ts";
import type { Log } from "../telemetry/log.ts";
import type { Tally } from "../telemetry/tally.ts";
import type { PeerSocket } from "../ws/peer-socket.ts";
import { createSockets, type Sockets } from "../ws/sockets.ts";
import { createUpgrade } from "../ws/upgrade.ts";

/** What every part of one server works with. */
export interface Core {
  readonly config: Config;
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
  readonly tally: Tally;
  readonly engine: Engine;
  /** Which of several nodes this is; undefined for a server alone. */
  readonly node: string | undefined;
  /** How old the text of the metrics may be, ms. */
  readonly metricsAgeMs: number;
  /** The server is about to go, and takes on no new work. */
  draining: boolean;
  readonly onError: (error: unknown) => void;
}

/** A server that only has to listen. */
export interface Parts {
  readonly sockets: Sockets;
  openSockets(): number;
  /** Undefined when the request became a socket. */
  answer(request: Request, server: Server<PeerSocket>): MaybePromise<Response | undefined>;
  /** Logs when codes begin, or cease, to be guessed. */
  watchGuessing(): void;
}

const originRefused =
  "Pages of this origin may not use this server. If it is yours, list it in CORS_ORIGINS.";
const behindUnknownProxy =
  "An untrusted proxy forwards for its clients: they all count as one, with the limits of a site. " +
  "Name it in TRUST_PROXY if it is yours.";
/** ICE servers that cost their operator traffic, given to one client in an hour. */
const iceGrants = { perWindow: 30, windowMs: 3_600_000 };
/** Clients and sites that a limiter counts in one window; later ones pass without being counted. */
const limiterKeys = 100_000;

// Loaded when first requested: on many servers never, and what is loaded costs time at the start and
// memory for good. (prom-client was a quarter of either, and of the time to collect garbage.)
const loadMetrics = async () => (await import("../telemetry/metrics.ts")).metrics;
const loadPage = async () => (await import("../page/page.ts")).page;

/** Puts a server together, from who may enter to what is answered. */
export function buildParts(core: Core): Parts {
  const { config, engine, log } = core;
  const admission = buildAdmission(core);
  const { clientOf, connectionLog, requests } = admission;
  const ice = iceSource({
    ...config,
    rooms: engine.rooms,
    now: engine.now,
    limiter: admission.iceLimit,
  });
  const { context, sockets, upgrade } = buildSockets(core, admission, ice);
  const { app, guessing } = buildHttp(core, admission, context, ice);
  const wsPaths = new Set([`${config.basePath}/ws`, `${config.basePath}/ws/`]);

  function route(request: Request, server: Server<PeerSocket>): MaybePromise<Response | undefined> {
    const isUpgrade = wsPaths.has(pathOf(request));
    const client = clientOf(request, server);
    const answer = isUpgrade ? upgrade(request, client, server) : app.fetch(request, client);
    return connectionLog === undefined ? answer : logRefusal(request, client, answer, isUpgrade);
  }

  function logRefusal(
    request: Request,
    { address }: Client,
    answer: MaybePromise<Response | undefined>,
    isUpgrade: boolean,
  ): MaybePromise<Response | undefined> {
    return andThen(answer, (response) => {
      if (response === undefined || response.status < 400) return response;
      const { status } = response;
      const why = response instanceof ProblemResponse ? response : undefined;
      const route = isUpgrade ? pathOf(request) : app.routeOf(request);
      const refusal = { route, status, code: why?.code, detail: why?.detail };
      connectionLog?.refused(request, refusal, address);
      return response;
    });
  }

  return {
    sockets,
    openSockets: admission.socketLimits.size,
    watchGuessing: guessWatch(guessing, log),
    answer(request, server) {
      const turn = requests.take();
      const answer =
        turn === undefined ? route(request, server) : turn.then(() => route(request, server));
      // Checked last: each header that is looked up costs a socket as much as its seat.
      if (answer === undefined || !isLongBodied(request.headers)) return answer;
      return andThen(answer, endConnection);
    },
  };
}

/** Who a client is, and how much it may take. */
function buildAdmission({ config, clock, log }: Core) {
  const limiter = (limit: { perWindow: number; windowMs?: number }) =>
    fixedWindow({ ...limit, monotonicMs: clock.monotonicMs, maxKeys: limiterKeys });
  const known = clients({
    trusted: parseAddressSet(config.trustProxy) ?? (() => false),
    ignoreHeaders: config.trustProxy === "none",
    clientIpHeader: config.clientIpHeader,
    onShared: (address) => log.warn(behindUnknownProxy, { address }),
  });
  const clientOf = (request: Request, server: Server<PeerSocket>) =>
    known.of(server.requestIP(request)?.address ?? "", request.headers);
  return {
    clientOf,
    sharedClients: known.sharedCount,
    allowsOrigin: reportingRule(originRule(config), clock.monotonicMs, (origin) =>
      log.warn(originRefused, { origin }),
    ),
    httpLimit: limiter({ perWindow: config.httpRatePerMin }),
    wsLimit: limiter({ perWindow: config.wsRatePerMin }),
    iceLimit: limiter(iceGrants),
    socketLimits: socketLimits({
      max: config.maxSockets || socketsWithinOpenFiles(),
      perClient: config.socketsPerClient,
    }),
    requests: turnBudget((run) => void setImmediate(run)),
    connectionLog: connectionLog(log, config),
  };
}

type Admission = ReturnType<typeof buildAdmission>;

/** The sockets, and the way to them. */
function buildSockets(core: Core, admission: Admission, ice: IceSource) {
  const { config, engine, clock, tally } = core;
  const { socketLimits, connectionLog } = admission;
  const context: SignalingContext = {
    engine,
    clock,
    tally,
    connectionLog,
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
  const sockets = createSockets(context, config, socketLimits, core.onError);
  const upgrade = guard(
    { ...admission, limiter: admission.wsLimit, tally },
    createUpgrade({
      ...admission,
      tally,
      sockets,
      rooms: engine.rooms,
      draining: () => core.draining,
    }),
  );
  return { context, sockets, upgrade };
}

/** All that is answered over HTTP. */
function buildHttp(core: Core, admission: Admission, context: SignalingContext, ice: IceSource) {
  const { config, engine, clock, random, tally, node } = core;
  const { allowsOrigin, httpLimit, wsLimit, iceLimit, socketLimits } = admission;
  const codes = rendezvous({
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
  const app = createApp({
    rendezvous: codes,
    ice,
    loadPage: config.demo ? loadPage : undefined,
    lanAddress: () => lanAddresses(config.host, networkInterfaces())[0],
    basePath: config.basePath,
    draining: () => core.draining,
    ready: () => (core.draining ? "The server is shutting down." : engine.ready()),
    warning: () => engine.warning(),
    loadMetrics: async () =>
      (await loadMetrics())({
        tally,
        sizes: () => (node === undefined || tally.store.isUp ? engine.sizes() : undefined),
        limiters: () => ({ http: httpLimit, ws: wsLimit, ice: iceLimit }),
        deferredRequests: admission.requests.deferred,
        monotonicMs: clock.monotonicMs,
        maxAgeMs: core.metricsAgeMs,
        queuedBytes: () => context.queued.used,
        largeFrames: context.largeFrames,
        process: {
          version,
          bun: Bun.version,
          engine: node === undefined ? "memory" : "redis",
          node,
          maxSockets: socketLimits.max,
          sockets: socketLimits.size,
          socketClients: socketLimits.clients,
          sharedClients: admission.sharedClients,
          guessing: codes.guessing,
        },
      }),
    metricsRoute: config.metricsRoute,
    metricsToken: config.metricsToken,
    allowsOrigin,
    limiter: httpLimit,
    tally,
    connectionLog: admission.connectionLog,
    onError: core.onError,
  });
  return { app, guessing: codes.guessing };
}
