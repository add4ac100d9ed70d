import { type Context, Hono } from "hono";
import type { Client } from "../admission/clients.ts";
import type { MaybePromise } from "../base/maybe-promise.ts";
import { EngineUnreachable } from "../engine/engine.ts";
import { commonHeaders } from "./answer.ts";
import { type DocumentOptions, documents } from "./documents.ts";
import { type GuardOptions, guard } from "./guard.ts";
import { type OperationsOptions, operations } from "./operations.ts";
import { problem } from "./problem.ts";
import { type RendezvousOptions, rendezvousRoutes } from "./rendezvous.ts";

export interface AppOptions
  extends GuardOptions,
    RendezvousOptions,
    OperationsOptions,
    DocumentOptions {
  /** Gets what a handler threw; the client learns nothing of it but 500. */
  readonly onError: (error: unknown) => void;
}

/** Hono's `env` is who makes the request. */
export interface HttpEnv {
  Bindings: Client;
}

interface App {
  /** The path of the request if it is one that something is at; there are no parameters in them. */
  routeOf(request: Request): string | undefined;
  fetch(request: Request, client: Client): MaybePromise<Response>;
}

/**
 * Everything this server answers over HTTP except the upgrade. No request gets past the end of a
 * handler unanswered, and nothing is a 2xx but what is documented as one: clients take any for success.
 *
 * There is no middleware: Hono calls the only handler of a route at once, but composes several from
 * promises, and that makes a mint two to three times as dear. What holds for all routes stands in
 * `guard`, once around them.
 */
export function createApp(options: AppOptions): App {
  const { basePath, onError, tally } = options;
  const app = new Hono<HttpEnv>({ getPath: pathOf });
  // Outside of the base path: a proxy that publishes it does not publish these with it.
  app.route("/", operations(options));
  app.route(`${basePath}/rendezvous`, rendezvousRoutes(options));
  app.route("/", documents(options));
  app.notFound(otherwise);
  app.onError((error) => {
    if (error instanceof EngineUnreachable) {
      tally.refusals.unreachable++;
      return problem("store_unreachable");
    }
    onError(error);
    return problem("internal");
  });

  const handle = (request: Request, client: Client) => app.fetch(request, client);
  const limited = guard(options, handle);
  const routes: ReadonlySet<string> = new Set(app.routes.map(({ path }) => path));
  const unlimited = guard({ ...options, limiter: undefined }, handle);
  return {
    routeOf(request) {
      const path = pathOf(request);
      return routes.has(path) ? path : undefined;
    },
    fetch: (request, client) =>
      (unlimitedPaths.has(pathOf(request)) ? unlimited : limited)(request, client, undefined),
  };

  /** Answers what no route takes: OPTIONS, another method on a known path, an unknown path. */
  function otherwise({ req, env }: Context<HttpEnv>): MaybePromise<Response> {
    const methods = app.routes.filter(({ path }) => path === req.path).map(({ method }) => method);
    if (methods.length === 0) return problem("not_found");
    const allow = [...methods, ...(methods.includes("GET") ? ["HEAD"] : []), "OPTIONS"].join(", ");
    if (req.method !== "OPTIONS") return problem("method_not_allowed", { allow });
    if (isPreflight(req.raw)) return answerPreflight(req.raw.headers, allow);
    // Balancers ask these by OPTIONS as well (HAProxy's httpchk does): the status has to be that of GET.
    if (unlimitedPaths.has(req.path)) return answerAsGet(req.path, env, allow);
    return new Response(null, { status: 204, headers: { Allow: allow, ...commonHeaders } });
  }

  async function answerAsGet(path: string, client: Client, allow: string): Promise<Response> {
    const answer = await handle(new Request(`http://localhost${path}`), client);
    answer.headers.set("Allow", allow);
    return answer;
  }
}

/** Who asks these, such as a balancer, must not take a busy server for a dead one. */
const unlimitedPaths: ReadonlySet<string> = new Set(["/healthz", "/readyz"]);

/**
 * The path of a request as Bun has it: dot segments are resolved, `%2e` ones too (`/a/../healthz` is
 * `/healthz`), and nothing else is decoded. `request.url` is relative where the client sent no usable
 * Host, as HTTP/1.0 health checks do.
 */
export function pathOf(request: Request): string {
  const { url } = request;
  const start = url.startsWith("/") ? 0 : url.indexOf("/", url.indexOf("://") + 3);
  if (start === -1) return "/";
  const query = url.indexOf("?", start);
  return query === -1 ? url.slice(start) : url.slice(start, query);
}

/** Fetch standard, section 3.3.2. */
function isPreflight({ headers }: Request): boolean {
  return headers.has("access-control-request-method");
}

/** A field name (RFC 9110 section 5.1). */
const fieldName = /^[\w!#$%&'*+.^`|~-]+$/;
/** Longer lists are not repeated; characters. */
const maxFieldNames = 1_024;

/** `Content-Type` and what else the page asks for. */
function allowedHeaders(asked: string): string {
  if (asked.length > maxFieldNames) return "Content-Type";
  const names = asked.split(",").map((name) => name.trim());
  const others = names.filter((name) => fieldName.test(name) && name !== "content-type");
  return ["Content-Type", ...others].join(", ");
}

/**
 * A preflight's answer, good for 10 minutes: the methods of the path, and every header that the page
 * wants to send. Tracing libraries add some, and none changes what a call does.
 */
function answerPreflight(asked: Headers, allow: string): Response {
  const headers = new Headers({
    Allow: allow,
    "Cache-Control": "no-store",
    Vary: "Origin, Access-Control-Request-Headers, Access-Control-Request-Private-Network",
    "Access-Control-Allow-Methods": allow,
    "Access-Control-Allow-Headers": allowedHeaders(
      asked.get("access-control-request-headers") ?? "",
    ),
    "Access-Control-Max-Age": "600",
  });
  // A page of the internet may call a server of a private network (WICG Private Network Access).
  if (asked.get("access-control-request-private-network") === "true") {
    headers.set("Access-Control-Allow-Private-Network", "true");
  }
  return new Response(null, { status: 204, headers });
}
