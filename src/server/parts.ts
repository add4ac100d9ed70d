import { networkInterfaces } from "node:os";
import type { Server } from "bun";
import { type Client, Clients } from "../admission/clients.ts";
import { httpConnections, turnBudget } from "../admission/http-connections.ts";
import { originRule, reportingRule } from "../admission/origin.ts";
import { fixedWindow } from "../admission/rate-limit.ts";
import { socketLedger, socketsWithinOpenFiles } from "../admission/socket-limits.ts";
import { parseAddressSet } from "../base/address.ts";
import type { Clock, Random } from "../base/clock.ts";
import { Ledger } from "../base/ledger.ts";
import type { MaybePromise } from "../base/maybe-promise.ts";
import { lanAddresses } from "../base/network.ts";
import { onceAMinute } from "../base/once-a-minute.ts";
import type { Config } from "../config/config.ts";
import type { Engine } from "../engine/engine.ts";
import { createApp, pathOf, probePaths } from "../http/app.ts";
import { guard } from "../http/guard.ts";
import { iceSource, maxGrantsPerSide } from "../rendezvous/ice.ts";
import { guessWatch, rendezvous } from "../rendezvous/rendezvous.ts";
import type { SignalingContext } from "../signaling/context.ts";
import { FairQueue } from "../signaling/fair-queue.ts";
import { connectionLog } from "../telemetry/connection-log.ts";
import type { Log } from "../telemetry/log.ts";
import type { Tally } from "../telemetry/tally.ts";
import { createEntrance } from "../ws/entrance.ts";
import { Flow } from "../ws/flow.ts";
import type { PeerSocket } from "../ws/peer-socket.ts";
import { Sockets } from "../ws/sockets.ts";
import { createUpgrade } from "../ws/upgrade.ts";
import { limitLog, maxReported, requestHandler } from "./requests.ts";

/** What a server has before its engine. */
export interface Base {
  readonly config: Config;
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
  readonly tally: Tally;
}

/** What a server is made of before its parts are put together. */
export interface Core extends Base {
  readonly engine: Engine;
  /** Which of several nodes this is; undefined for a server alone. */
  readonly node: string | undefined;
  /** How old the text of the metrics may be, ms. */
  readonly metricsAgeMs: number;
  /** The server is about to stop, and takes on no new work. */
  draining: boolean;
  readonly onError: (error: unknown) => void;
}

/** What the parts of one server share. Each takes what it needs from here. */
export type Shared = ReturnType<typeof share>;

/** A server that only has to listen. */
export interface Parts {
  readonly sockets: Sockets;
  openSockets(): number;
  /** Undefined when the request became a socket. */
  answer(request: Request, server: Server<PeerSocket>): MaybePromise<Response | undefined>;
  /** Logs the start and the end of code guessing. */
  watchGuessing(): void;
}

const originRefused =
  "Pages of this origin may not use this server. If it is yours, list it in CORS_ORIGINS.";
const clientUnknown =
  "A trusted proxy does not name its client: all such clients count as one, with the limits of " +
  "a site. Let it send their addresses in CLIENT_IP_HEADER, or in X-Forwarded-For if that is not set.";
const behindUnknownProxy =
  "An untrusted proxy forwards for its clients: they all count as one, with the limits of a site. " +
  "Name it in TRUST_PROXY if it is yours.";
const hourMs = 3_600_000;
/** Clients and sites that a limiter counts in one window; later ones pass without being counted. */
const limiterKeys = 100_000;

// Loaded at the first request for them, which many servers never get: loading costs time at the start
// and memory. (prom-client was a quarter of each, and of the time to collect garbage.)
const loadMetrics = async () => (await import("../telemetry/metrics.ts")).metrics;
const loadPage = async () => (await import("../page/page.ts")).page;

/** Puts a server together, from limits to answers. */
export function buildParts(core: Core): Parts {
  const shared = share(core);
  const { config, engine, log, limiters } = shared;
  const context = signalingContext(shared);
  const flow = new Flow(config, bytesLedger(config, config.wsBufferBytes), core.tally, core.clock);
  const sockets = new Sockets(context, flow, shared.socketLedger, core.onError);
  const upgrade = guard({ ...shared, limiter: limiters.ws }, createUpgrade({ ...shared, sockets }));
  const app = createApp({
    ...config,
    ...shared,
    limiter: limiters.http,
    loadPage: config.demo ? loadPage : undefined,
    lanAddress: () => lanAddresses(config.host, networkInterfaces())[0],
    ready: () => (core.draining ? "The server is shutting down." : engine.ready()),
    warning: () => engine.warning(),
    loadMetrics: async () => {
      const metrics = await loadMetrics();
      const isKnown = () => core.node === undefined || core.tally.store.isUp;
      return metrics({
        ...shared,
        fairQueue: context.fairQueue,
        sizes: () => (isKnown() ? engine.sizes() : undefined),
      });
    },
  });
  return {
    sockets,
    openSockets: () => shared.socketLedger.used,
    watchGuessing: guessWatch(shared.rendezvous.guessing, log),
    answer: requestHandler(shared, app, upgrade),
  };
}

function share(core: Core) {
  const { config, engine, clock, log } = core;
  const logged = connectionLog(log, config);
  const limiter = (limit: { perWindow: number; windowMs?: number }) =>
    fixedWindow({ ...limit, monotonicMs: clock.monotonicMs, maxKeys: limiterKeys });
  const max = config.maxSockets || socketsWithinOpenFiles();
  const sockets = socketLedger(max, config.socketsPerClient);
  const limiters = {
    http: limiter({ perWindow: config.httpRatePerMin }),
    ws: limiter({ perWindow: config.wsRatePerMin }),
    // ICE servers that cost their operator traffic, for one client and for one side of a room.
    ice: limiter({ perWindow: 30, windowMs: hourMs }),
    ice_side: limiter({ perWindow: maxGrantsPerSide, windowMs: hourMs }),
  };
  return {
    ...core,
    ...clientFinder(core),
    draining: () => core.draining,
    allowsOrigin: reportingRule(originRule(config), clock.monotonicMs, (origin) =>
      log.warn(originRefused, { origin }),
    ),
    limiters,
    socketLedger: sockets,
    connections: httpConnections({
      sockets,
      perClient: config.socketsPerClient,
      idleMs: config.idleTimeoutMs,
      monotonicMs: clock.monotonicMs,
    }),
    requests: turnBudget((run) => void setImmediate(run)),
    connectionLog: logged,
    limited: limitLog(core),
    ice: iceSource({
      ...config,
      rooms: engine.rooms,
      now: engine.now,
      limiter: limiters.ice,
      sideLimiter: limiters.ice_side,
    }),
    rendezvous: rendezvous({ ...core, ...config, codes: engine.codes, connectionLog: logged }),
  };
}

/** Identifies clients, and reports proxies that do not name theirs. */
function clientFinder({ config, clock, log, tally }: Core) {
  const known = new Clients({
    trusted: parseAddressSet(config.trustProxy) ?? (() => false),
    ignoreHeaders: config.trustProxy === "none",
    clientIpHeader: config.clientIpHeader,
    onShared: (address) => log.warn(behindUnknownProxy, { address }),
  });
  const isDue = onceAMinute(clock.monotonicMs, maxReported);
  return {
    sharedClients: () => known.sharedCount(),
    clientOf(peer: string, request: Request): Client {
      const client = known.of(peer, request.headers);
      const { fault, address, header = config.clientIpHeader || undefined } = client;
      if (fault === undefined) return client;
      // A balancer or Prometheus asks for itself, not for a client.
      const path = pathOf(request);
      if (probePaths.has(path) || path === config.metricsRoute) return client;
      tally.unknownClients[fault]++;
      if (isDue(address)) log.warn(clientUnknown, { proxy: address, header, fault });
      return client;
    },
  };
}

function bytesLedger({ wsBufferTotalBytes, socketsPerClient }: Config, leastShare: number): Ledger {
  const hasShares = socketsPerClient > 0;
  return new Ledger(wsBufferTotalBytes, hasShares ? leastShare : Number.POSITIVE_INFINITY);
}

/** A small object, because every frame reads it. */
function signalingContext(shared: Shared): SignalingContext {
  const { config, engine, clock, tally } = shared;
  return {
    engine,
    clock,
    tally,
    connectionLog: shared.connectionLog,
    heartbeatMs: config.heartbeatMs,
    wsMaxMsgBytes: config.wsMaxMsgBytes,
    roomTtlMs: config.roomTtlMs,
    ...createEntrance({ ...shared, limiter: shared.limiters.http, now: engine.now }),
    framesPerSec: config.framesPerSec,
    fairQueue: new FairQueue(clock, bytesLedger(config, config.wsMaxMsgBytes)),
    iceServers: shared.ice.offer,
  };
}
