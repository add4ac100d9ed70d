import { Hono } from "hono";
import type { OriginRule } from "../admission/origin.ts";
import type { MaybePromise } from "../base/maybe-promise.ts";
import { EngineUnreachable } from "../engine/engine.ts";
import { answerOptions, crossOrigin, share } from "./cross-origin.ts";
import { descriptionRoutes } from "./description-routes.ts";
import { type IceRouteOptions, iceRoutes } from "./ice-routes.ts";
import { type LimitOptions, limited } from "./limited.ts";
import { type OperationsRouteOptions, operationsRoutes } from "./operations-routes.ts";
import { type PageRouteOptions, pageRoutes } from "./page-routes.ts";
import { problem } from "./problem.ts";
import { type RendezvousRouteOptions, rendezvousRoutes } from "./rendezvous-routes.ts";
import type { Handler, Routes } from "./routes.ts";

export interface AppOptions
  extends LimitOptions,
    RendezvousRouteOptions,
    IceRouteOptions,
    OperationsRouteOptions,
    PageRouteOptions {
  /** Empty, or the path that a proxy serves this server under, such as `/signal`. */
  readonly basePath: string;
  readonly allowsOrigin: OriginRule;
  /** Hears of what a handler threw; the client learns nothing of it but 500. */
  readonly onError: (error: unknown) => void;
}

export interface App {
  fetch(request: Request): MaybePromise<Response>;
}

/**
 * Everything this server answers over HTTP except the upgrade. One origin rule holds for every
 * path, unknown ones included, and one rate limit for all but those that tell whether the server
 * lives. No request gets past the end of a handler unanswered, and nothing
 * is a 2xx but what is documented as one: clients take any for success.
 *
 * Hono routes what is asked seldom. Its context and promises were a tenth of what a mint or a redeem
 * costs, so POSTs go straight to their handlers.
 */
export function createApp(options: AppOptions): App {
  const { basePath, metricsRoute } = options;
  const getPath = pathUnder(basePath, ["/healthz", "/readyz", metricsRoute]);
  const hono = new Hono({ getPath });
  const posts = new Map<string, Handler>();
  /** The Allow header of each path. */
  const allowed = new Map<string, string>();
  const guard = crossOrigin(options.allowsOrigin, options.tally);
  const routes: Routes = {
    get(path, handle) {
      const guarded = guard(handle);
      hono.get(path, ({ req }) => guarded(req.raw));
      allow(path, "GET, HEAD");
    },
    post(path, handle) {
      posts.set(path, guard(handle));
      allow(path, "POST");
    },
  };
  rendezvousRoutes(routes, options);
  iceRoutes(routes, options);
  operationsRoutes(routes, options);
  descriptionRoutes(routes);
  pageRoutes(routes, options);
  const otherwise = guard(notRouted);
  hono.notFound(({ req }) => otherwise(req.raw));
  hono.onError((error, { req }) => rescued(error, req.raw));

  function routed(request: Request): MaybePromise<Response> {
    const post = request.method === "POST" ? posts.get(getPath(request)) : undefined;
    if (post === undefined) return hono.fetch(request);
    try {
      const answer = post(request);
      if (!(answer instanceof Promise)) return answer;
      return answer.catch((error) => rescued(error, request));
    } catch (error) {
      return rescued(error, request);
    }
  }

  if (options.limiter.perMin === 0) return { fetch: routed };
  const withinLimit = limited(options, guard, routed);
  return {
    fetch: (request) =>
      unlimitedPaths.has(getPath(request)) ? routed(request) : withinLimit(request),
  };

  function allow(path: string, methods: string): void {
    allowed.set(path, `${methods}, ${allowed.get(path) ?? "OPTIONS"}`);
  }

  /** Answers what no route takes: OPTIONS, another method on a known path, an unknown path. */
  function notRouted(request: Request): Response {
    const methods = allowed.get(getPath(request));
    if (methods === undefined) return problem("not_found");
    if (request.method === "OPTIONS") return answerOptions(request, methods);
    return problem("method_not_allowed", { allow: methods });
  }

  function rescued(error: unknown, request: Request): Response {
    const origin = request.headers.get("origin");
    const answer = failed(error);
    return origin === null ? answer : share(answer, origin);
  }

  function failed(error: unknown): Response {
    if (error instanceof EngineUnreachable) {
      options.tally.refusals.unreachable++;
      return problem("store_unreachable", { retryAfterMs: unreachableRetryMs });
    }
    options.onError(error);
    return problem("internal");
  }
}

/** Who asks these, such as a balancer, must not take a busy server for a dead one. */
const unlimitedPaths: ReadonlySet<string> = new Set(["/healthz", "/readyz"]);

/** Most outages of a store are restarts. */
const unreachableRetryMs = 2_000;

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
