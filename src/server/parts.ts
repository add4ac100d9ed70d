import { networkInterfaces } from "node:os";
import type { Server } from "bun";
import { type Client, clients as clientsOf } from "../admission/clients.ts";
import { httpConnections } from "../admission/http-connections.ts";
import { originRule, reportingRule } from "../admission/origin.ts";
import { fixedWindow } from "../admission/rate-limit.ts";
import { socketLedger, socketsWithinOpenFiles } from "../admission/socket-limits.ts";
import { turnBudget } from "../admission/turn-budget.ts";
import { parseAddressSet } from "../base/address.ts";
import type { Clock, Random } from "../base/clock.ts";
import { Ledger } from "../base/ledger.ts";
import { andThen, type MaybePromise } from "../base/maybe-promise.ts";
import { lanAddresses } from "../base/network.ts";
import { onceAMinute } from "../base/once-a-minute.ts";
import { version } from "../base/version.ts";
import type { Config } from "../config/config.ts";
import type { Engine } from "../engine/engine.ts";
import { createApp, pathOf } from "../http/app.ts";
import { endsWithAnswer, hasValidHost } from "../http/connection.ts";
import { guard } from "../http/guard.ts";
import { type ProblemCode, ProblemResponse, problem } from "../http/problem.ts";
import { type IceSource, iceSource, maxGrantsPerSide } from "../rendezvous/ice.ts";
import { guessWatch, type Rendezvous, rendezvous } from "../rendezvous/rendezvous.ts";
import type { SignalingContext } from "../signaling/context.ts";
import { FairQueue } from "../signaling/fair-queue.ts";
import { connectionLog, logClient } from "../telemetry/connection-log.ts";
import type { Log } from "../telemetry/log.ts";
import type { Tally } from "../telemetry/tally.ts";
import { createEntrance } from "../ws/entrance.ts";
import { Flow } from "../ws/flow.ts";
import type { PeerSocket } from "../ws/peer-socket.ts";
import { Sockets } from "../ws/sockets.ts";
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
const badHost =
  "A request names its host in one Host header, by a name or an address, with or without a port.";
const clientUnknown =
  "A trusted proxy does not tell who its client is: all such clients count as one, with the limits of " +
  "a site. Let it send their addresses in CLIENT_IP_HEADER, or in X-Forwarded-For where that is not set.";
const behindUnknownProxy =
  "An untrusted proxy forwards for its clients: they all count as one, with the limits of a site. " +
  "Name it in TRUST_PROXY if it is yours.";
/** ICE servers that cost their operator traffic, given to one client in an hour. */
const iceGrants = { perWindow: 30, windowMs: 3_600_000 };
const iceGrantsOfSide = { perWindow: maxGrantsPerSide, windowMs: 3_600_000 };
const fullForOne: ReadonlySet<ProblemCode> = new Set<ProblemCode>([
  "rate_limited",
  "client_full",
  "too_many_misses",
  "shared_misses",
  "too_many_sockets",
  "too_many_rooms",
]);
const fullForAll: ReadonlySet<ProblemCode> = new Set<ProblemCode>([
  "codes_full",
  "rooms_full",
  "sockets_full",
]);
/** Proxies, or kinds of refusal, that have a line in the log in one minute. */
const maxReported = 20;
/** Clients and sites that a limiter counts in one window; later ones pass without being counted. */
const limiterKeys = 100_000;

// Loaded when first requested: on many servers never, and what is loaded costs time at the start and
// memory for good. (prom-client was a quarter of either, and of the time to collect garbage.)
const loadMetrics = async () => (await import("../telemetry/metrics.ts")).metrics;
const loadPage = async () => (await import("../page/page.ts")).page;

/** Puts a server together, from who may enter to what is answered. */
export function buildParts(core: Core): Parts {
  const { config, engine, log, random, tally } = core;
  const admission = buildAdmission(core);
  const {
    clientOf,
    connections,
    requests,
    iceLimit: limiter,
    iceSideLimit: sideLimiter,
  } = admission;
  const refusals = logOfRefusals(core, admission);
  const { rooms, now } = engine;
  const ice = iceSource({ ...config, rooms, now, limiter, sideLimiter });
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
  const { context, sockets, upgrade } = buildSockets(core, admission, ice, codes, refusals);
  const { app, guessing } = buildHttp(core, admission, context, ice, codes);
  const idleSeconds = Math.ceil(config.idleTimeoutMs / 1_000);
  const wsPaths = new Set([`${config.basePath}/ws`, `${config.basePath}/ws/`]);

  function route(request: Request, server: Server<PeerSocket>): MaybePromise<Response | undefined> {
    const isUpgrade = wsPaths.has(pathOf(request));
    const peer = server.requestIP(request);
    const client = clientOf(peer?.address ?? "", request);
    const connection = `${peer?.address} ${peer?.port}`;
    // A request counts before its body is there. What may become a socket does not: that counts itself.
    const kept = isUpgrade ? undefined : connections.mayKeep(connection, client.accounts);
    const respond = isUpgrade ? upgrade : app.fetch;
    const answer = hasValidHost(request.headers)
      ? respond(request, client, server)
      : refuseHost(tally);
    return andThen(answer, (response) => {
      if (response !== undefined && response.status >= 400) {
        const path = isUpgrade ? pathOf(request) : app.routeOf(request);
        refusals.answered(request, response, client, path);
      }
      const isKept =
        response !== undefined &&
        (kept ?? connections.mayKeep(connection, client.accounts)) &&
        !endsWithAnswer(request.headers);
      if (isKept) server.timeout(request, idleSeconds);
      else connections.ended(connection);
      if (!isKept) response?.headers.append("Connection", "close");
      return response;
    });
  }

  return {
    sockets,
    openSockets: () => admission.socketLedger.used,
    watchGuessing: guessWatch(guessing, log),
    answer(request, server) {
      const turn = requests.take();
      return turn === undefined ? route(request, server) : turn.then(() => route(request, server));
    },
  };
}

function refuseHost(tally: Tally): Response {
  tally.refusals.bad_request++;
  return problem("malformed", { detail: badHost });
}

/**
 * Every refusal in the connection log, where there is one. Beside it, of those because something is
 * used up, one line a minute for each kind, with who met it first.
 */
function logOfRefusals({ log, clock, config }: Core, { connectionLog }: Admission) {
  const isDue = onceAMinute(clock.monotonicMs, maxReported);

  function limited(code: ProblemCode, address: string): void {
    const isFull = fullForAll.has(code);
    if (!(isFull || fullForOne.has(code)) || !isDue(code)) return;
    const client = logClient(address, config.logClient);
    if (isFull) log.warn("the server is full", { code });
    else log.info("a client was refused by a limit", { code, client });
  }

  function answered(
    request: Request,
    response: Response,
    { address }: Client,
    route: string | undefined,
  ): void {
    const why = response instanceof ProblemResponse ? response : undefined;
    if (why !== undefined) limited(why.code, address);
    const refusal = { route, status: response.status, code: why?.code, detail: why?.detail };
    connectionLog?.refused(request, refusal, address);
  }

  /** `limited`: of a refusal that a socket hears. */
  return { answered, limited };
}

/** Who a client is, and how much it may take. */
function buildAdmission({ config, clock, log, tally }: Core) {
  const limiter = (limit: { perWindow: number; windowMs?: number }) =>
    fixedWindow({ ...limit, monotonicMs: clock.monotonicMs, maxKeys: limiterKeys });
  const known = clientsOf({
    trusted: parseAddressSet(config.trustProxy) ?? (() => false),
    ignoreHeaders: config.trustProxy === "none",
    clientIpHeader: config.clientIpHeader,
    onShared: (address) => log.warn(behindUnknownProxy, { address }),
  });
  const max = config.maxSockets || socketsWithinOpenFiles();
  const sockets = socketLedger(max, config.socketsPerClient);
  const probes = new Set(["/healthz", "/readyz", config.metricsRoute]);
  const isDue = onceAMinute(clock.monotonicMs, maxReported);

  function clientOf(peer: string, request: Request): Client {
    const client = known.of(peer, request.headers);
    const { fault, address, header = config.clientIpHeader || undefined } = client;
    // A balancer, or Prometheus, that asks for itself has no client.
    if (fault === undefined || probes.has(pathOf(request))) return client;
    tally.unknownClients[fault]++;
    if (isDue(address)) log.warn(clientUnknown, { proxy: address, header, fault });
    return client;
  }
  return {
    clientOf,
    sharedClients: known.sharedCount,
    allowsOrigin: reportingRule(originRule(config), clock.monotonicMs, (origin) =>
      log.warn(originRefused, { origin }),
    ),
    httpLimit: limiter({ perWindow: config.httpRatePerMin }),
    wsLimit: limiter({ perWindow: config.wsRatePerMin }),
    iceLimit: limiter(iceGrants),
    iceSideLimit: limiter(iceGrantsOfSide),
    socketLedger: sockets,
    connections: httpConnections({
      max,
      perClient: config.socketsPerClient,
      openSockets: () => sockets.used,
      idleMs: config.idleTimeoutMs,
      monotonicMs: clock.monotonicMs,
    }),
    requests: turnBudget((run) => void setImmediate(run)),
    connectionLog: connectionLog(log, config),
  };
}

type Admission = ReturnType<typeof buildAdmission>;

/** The sockets, and the way to them. */
function buildSockets(
  core: Core,
  admission: Admission,
  ice: IceSource,
  codes: Rendezvous,
  refusals: ReturnType<typeof logOfRefusals>,
) {
  const { config, engine, clock, tally } = core;
  const { socketLedger, connectionLog } = admission;
  const bytes = (leastShare: number) =>
    new Ledger(
      config.wsBufferTotalBytes,
      config.socketsPerClient === 0 ? Number.POSITIVE_INFINITY : leastShare,
    );
  const context: SignalingContext = {
    engine,
    clock,
    tally,
    connectionLog,
    heartbeatMs: config.heartbeatMs,
    wsMaxMsgBytes: config.wsMaxMsgBytes,
    roomTtlMs: config.roomTtlMs,
    ...createEntrance({
      rendezvous: codes,
      limiter: admission.httpLimit,
      draining: () => core.draining,
      now: engine.now,
      tally,
      connectionLog,
      limited: refusals.limited,
    }),
    framesPerSec: config.framesPerSec,
    fairQueue: new FairQueue(clock, bytes(config.wsMaxMsgBytes)),
    iceServers: ice.offer,
  };
  const flow = new Flow(config, bytes(config.wsBufferBytes), tally, clock);
  const sockets = new Sockets(context, flow, socketLedger, core.onError);
  const upgrade = guard(
    { ...admission, limiter: admission.wsLimit, tally },
    createUpgrade({
      ...admission,
      tally,
      sockets,
      draining: () => core.draining,
    }),
  );
  return { context, sockets, upgrade };
}

/** All that is answered over HTTP. */
function buildHttp(
  core: Core,
  admission: Admission,
  context: SignalingContext,
  ice: IceSource,
  codes: Rendezvous,
) {
  const { config, engine, clock, tally, node } = core;
  const { basePath, metricsRoute, metricsToken, clientIpHeader } = config;
  const { allowsOrigin, httpLimit, wsLimit, iceLimit, socketLedger } = admission;
  const app = createApp({
    rendezvous: codes,
    ice,
    loadPage: config.demo ? loadPage : undefined,
    lanAddress: () => lanAddresses(config.host, networkInterfaces())[0],
    ...{ basePath, metricsRoute, metricsToken, clientIpHeader },
    draining: () => core.draining,
    ready: () => (core.draining ? "The server is shutting down." : engine.ready()),
    warning: () => engine.warning(),
    loadMetrics: async () =>
      (await loadMetrics())({
        tally,
        sizes: () => (node === undefined || tally.store.isUp ? engine.sizes() : undefined),
        limiters: () => ({
          http: httpLimit,
          ws: wsLimit,
          ice: iceLimit,
          ice_side: admission.iceSideLimit,
        }),
        deferredRequests: admission.requests.deferred,
        monotonicMs: clock.monotonicMs,
        maxAgeMs: core.metricsAgeMs,
        queuedBytes: () => context.fairQueue.queued.used,
        fairQueue: context.fairQueue,
        process: {
          version,
          bun: Bun.version,
          engine: node === undefined ? "memory" : "redis",
          node,
          maxSockets: socketLedger.most,
          sockets: () => socketLedger.used,
          socketClients: () => socketLedger.clients,
          sharedClients: admission.sharedClients,
          httpConnections: admission.connections,
          guessing: codes.guessing,
        },
      }),
    allowsOrigin,
    limiter: httpLimit,
    tally,
    connectionLog: admission.connectionLog,
    onError: core.onError,
  });
  return { app, guessing: codes.guessing };
}
