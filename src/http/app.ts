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
  function otherwise({ req }: Context<HttpEnv>): Response {
    const methods = app.routes.filter(({ path }) => path === req.path).map(({ method }) => method);
    if (methods.length === 0) return problem("not_found");
    const allow = [...methods, ...(methods.includes("GET") ? ["HEAD"] : []), "OPTIONS"].join(", ");
    return req.method === "OPTIONS"
      ? answerOptions(req.raw, allow)
      : problem("method_not_allowed", { allow });
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

/** What a preflight wants to know: the methods and headers that a page may use, for 10 minutes. */
function answerOptions(request: Request, allow: string): Response {
  const headers = new Headers({ Allow: allow, ...commonHeaders });
  if (request.headers.has("access-control-request-method")) {
    headers.set("Access-Control-Allow-Methods", allow);
    headers.set("Access-Control-Allow-Headers", "Content-Type");
    headers.set("Access-Control-Max-Age", "600");
  }
  return new Response(null, { status: 204, headers });
}
