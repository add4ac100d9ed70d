import { Hono } from "hono";
import type { OriginRule } from "../admission/origin.ts";
import { EngineUnreachable } from "../engine/engine.ts";
import { answerOptions, crossOrigin, type Handler, share } from "./cross-origin.ts";
import { descriptionRoutes } from "./description-routes.ts";
import { type IceRouteOptions, iceRoutes } from "./ice-routes.ts";
import { type OperationsRouteOptions, operationsRoutes } from "./operations-routes.ts";
import { type PageRouteOptions, pageRoutes } from "./page-routes.ts";
import { problem } from "./problem.ts";
import { type RendezvousRouteOptions, rendezvousRoutes } from "./rendezvous-routes.ts";

export interface AppOptions
  extends RendezvousRouteOptions,
    IceRouteOptions,
    OperationsRouteOptions,
    PageRouteOptions {
  /** Empty, or the path that a proxy serves this server under, such as `/signal`. */
  readonly basePath: string;
  readonly allowsOrigin: OriginRule;
  /** Hears of what a handler threw; the client learns nothing of it but 500. */
  readonly onError: (error: Error) => void;
}

/**
 * Everything this server answers over HTTP except the upgrade. One origin rule holds for every
 * path, unknown ones included. No request gets past the end of a handler unanswered, and nothing
 * is a 2xx but what is documented as one: clients take any for success.
 */
export function createApp(options: AppOptions): Hono {
  const { basePath, metricsRoute } = options;
  const app = new Hono({ getPath: pathUnder(basePath, ["/healthz", "/readyz", metricsRoute]) });
  const origins = crossOrigin(options.allowsOrigin, options.tally);
  rendezvousRoutes(app, origins, options);
  iceRoutes(app, origins, options);
  operationsRoutes(app, origins, options);
  descriptionRoutes(app, origins);
  pageRoutes(app, origins, options);
  app.notFound(origins.guard(notRouted(app)));
  app.onError((error, context) => {
    const origin = context.req.raw.headers.get("origin");
    const answer = failed(error);
    return origin === null ? answer : share(answer, origin);
  });
  return app;

  function failed(error: Error): Response {
    if (error instanceof EngineUnreachable) {
      options.tally.refusals.unreachable++;
      return problem("store_unreachable", { retryAfterMs: unreachableRetryMs });
    }
    options.onError(error);
    return problem("internal");
  }
}

/** Most outages of a store are restarts. */
const unreachableRetryMs = 2_000;

/**
 * The path of a request as it was sent: nothing is decoded. `request.url` is relative where the
 * client sent no usable Host, as HTTP/1.0 health checks do.
 */
export function pathOf(request: Request): string {
  const { url } = request;
  const start = url.startsWith("/") ? 0 : url.indexOf("/", url.indexOf("://") + 3);
  if (start === -1) return "/";
  const query = url.indexOf("?", start);
  return query === -1 ? url.slice(start) : url.slice(start, query);
}

/** No request comes with a space in its path, and no route has one. (Hono fails on an empty path.) */
const nowhere = "/ ";

/**
 * The path of a request below the base path; those in `apart` stand beside it and only there, since
 * whoever passes the base path on to the world need not mean them. `nowhere` for a path that is
 * neither.
 */
export function pathUnder(
  basePath: string,
  apart: readonly string[],
): (request: Request) => string {
  if (basePath === "") return pathOf;
  return (request) => {
    const path = pathOf(request);
    if (apart.includes(path)) return path;
    if (path === basePath) return "/";
    if (!path.startsWith(`${basePath}/`)) return nowhere;
    const below = path.slice(basePath.length);
    return apart.includes(below) ? nowhere : below;
  };
}

/** Answers what no route takes: OPTIONS, another method on a known path, an unknown path. */
function notRouted(app: Hono): Handler {
  let allowed: ReadonlyMap<string, string> | undefined;
  return ({ req }) => {
    allowed ??= allowedMethods(app);
    const methods = allowed.get(req.path);
    if (methods === undefined) return problem("not_found");
    if (req.method === "OPTIONS") return answerOptions(req.raw, methods);
    return problem("method_not_allowed", { allow: methods });
  };
}

/** The Allow header of each path that has routes. Hono answers HEAD wherever it answers GET. */
function allowedMethods(app: Hono): ReadonlyMap<string, string> {
  const methods = Map.groupBy(app.routes, ({ path }) => path);
  return new Map(
    Array.from(methods, ([path, routes]) => {
      const named = routes.flatMap(({ method }) => (method === "GET" ? ["GET", "HEAD"] : [method]));
      return [path, [...new Set(named), "OPTIONS"].join(", ")];
    }),
  );
}
