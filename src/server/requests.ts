import type { Server } from "bun";
import type { Client } from "../admission/clients.ts";
import { andThen, type MaybePromise } from "../base/maybe-promise.ts";
import { onceAMinute } from "../base/once-a-minute.ts";
import { pathOf } from "../http/app.ts";
import { type ProblemCode, ProblemResponse, problem, statusOf } from "../http/problem.ts";
import { logClient } from "../telemetry/connection-log.ts";
import type { PeerSocket } from "../ws/peer-socket.ts";
import type { Upgrade } from "../ws/upgrade.ts";
import type { Core, Shared } from "./parts.ts";

/** Lines of one kind in the log in one minute, such as one for each proxy. */
export const maxReported = 20;

/**
 * Logs that a limit of one client (429) or of all (503) refused a request: one line a minute for each
 * kind of limit, with the first client that met it.
 */
export function limitLog({ log, clock, config }: Core) {
  const isDue = onceAMinute(clock.monotonicMs, maxReported);
  return (code: ProblemCode, address: string): void => {
    const status = statusOf(code);
    const isFull = status === 503 && code.endsWith("_full");
    if (!(isFull || status === 429) || !isDue(code)) return;
    const client = logClient(address, config.logClient);
    if (isFull) log.warn("the server is full", { code });
    else log.info("a client was refused by a limit", { code, client });
  };
}

const badHost =
  "A request names its host in one Host header, by a name or an address, with or without a port.";

/** Answers what Bun hands over. Undefined when the request became a socket. */
export function requestHandler(
  { config, tally, clientOf, connections, requests, connectionLog, limited }: Shared,
  app: {
    isRoute(path: string): boolean;
    fetch(request: Request, client: Client, path: string): MaybePromise<Response>;
  },
  upgrade: Upgrade,
) {
  const idleSeconds = Math.ceil(config.idleTimeoutMs / 1_000);
  const wsPaths = new Set([`${config.basePath}/ws`, `${config.basePath}/ws/`]);

  function route(request: Request, server: Server<PeerSocket>): MaybePromise<Response | undefined> {
    const path = pathOf(request);
    const isUpgrade = wsPaths.has(path);
    const peer = server.requestIP(request);
    const client = clientOf(peer?.address ?? "", request);
    const connection = `${peer?.address} ${peer?.port}`;
    // A request counts before its body is read. An upgrade does not: sockets are counted elsewhere.
    const kept = isUpgrade ? undefined : connections.mayKeep(connection, client.accounts);
    const respond = () =>
      isUpgrade ? upgrade(request, client, server) : app.fetch(request, client, path);
    const answer = hasValidHost(request.headers) ? respond() : refuseHost();
    return andThen(answer, (response) => {
      if (response !== undefined && response.status >= 400) {
        const route = isUpgrade || app.isRoute(path) ? path : undefined;
        logRefusal(request, response, client, route);
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

  function refuseHost(): Response {
    tally.refusals.bad_request++;
    return problem("malformed", { detail: badHost });
  }

  function logRefusal(
    request: Request,
    response: Response,
    { address }: Client,
    route: string | undefined,
  ): void {
    const { code, detail }: Partial<ProblemResponse> =
      response instanceof ProblemResponse ? response : {};
    if (code !== undefined) limited(code, address);
    connectionLog?.refused(request, { route, status: response.status, code, detail }, address);
  }

  return (request: Request, server: Server<PeerSocket>): MaybePromise<Response | undefined> => {
    const turn = requests.take();
    return turn === undefined ? route(request, server) : turn.then(() => route(request, server));
  };
}

/** A reg-name, an IPv4 or an IPv6 address, with or without a port (RFC 3986 section 3.2); or nothing. */
const validHost = /^(?:[\w.~!$&'()*+;=%-]*|\[[\w:.%~-]+\])(?::\d{0,5})?$/;

/**
 * Whether a request names one host (RFC 9112 section 3.2). The runtime joins several Host lines by a
 * comma. It refuses HTTP/1.1 without Host itself, so a request without one is HTTP/1.0.
 */
function hasValidHost(headers: Headers): boolean {
  const host = headers.get("host");
  return host === null || validHost.test(host);
}

/** An unread body up to this is skipped, so that the connection can be used again; bytes. */
const maxSkippedBytes = 1_048_576;

/**
 * Whether the connection ends with the answer: if the client asks for it (RFC 9112 section 9.6), if it
 * speaks HTTP/1.0 (which the runtime shows only by a missing Host), or if the body may be too long to
 * skip, or has no known length.
 */
function endsWithAnswer(headers: Headers): boolean {
  const options = headers.get("connection");
  if (options !== null && /(?:^|,)\s*close\s*(?:,|$)/i.test(options)) return true;
  const length = headers.get("content-length");
  if (length === null) return headers.has("transfer-encoding") || !headers.has("host");
  return Number(length) > maxSkippedBytes || !headers.has("host");
}
