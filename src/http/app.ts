import { type Context, Hono } from "hono";
import type { Client } from "../admission/clients.ts";
import { andThen, type MaybePromise } from "../base/maybe-promise.ts";
import { EngineUnreachable } from "../engine/engine.ts";
import type { Refusal } from "../telemetry/tally.ts";
import { answerJson, commonHeaders } from "./answer.ts";
import { noBody, type Read, readAs } from "./body.ts";
import { type Call, calls, type HttpEnv, type Services } from "./calls.ts";
import { type DocumentOptions, documents } from "./documents.ts";
import { type GuardOptions, guard } from "./guard.ts";
import { type MetricsOptions, metricsRoute } from "./metrics.ts";
import { type ProblemCode, type ProblemOptions, problem } from "./problem.ts";

interface AppOptions
  extends GuardOptions,
    Omit<Services, "refuse">,
    MetricsOptions,
    DocumentOptions {
  /** The server is about to stop: it makes no codes that its successor would not know. */
  readonly draining: () => boolean;
  /** Gets what a handler threw; the client learns nothing of it but 500. */
  readonly onError: (error: unknown) => void;
}

interface App {
  /** Whether there is a route for this path. Routes have no parameters. */
  isRoute(path: string): boolean;
  /** `path`: that of the request, as `pathOf` has it. */
  fetch(request: Request, client: Client, path: string): MaybePromise<Response>;
}

/**
 * Everything this server answers over HTTP except the upgrade. Every request is answered, and only
 * documented answers are a 2xx: clients take any 2xx for success.
 *
 * There is no middleware: Hono calls a route's only handler directly, but chains several by promises,
 * and then a mint costs two to three times as much. What holds for all routes is in `guard`, around
 * them all.
 */
export function createApp(options: AppOptions): App {
  const { basePath, onError, tally } = options;
  const { rendezvous, ice, connectionLog, ready, warning } = options;
  const services: Services = { rendezvous, ice, connectionLog, ready, warning, refuse };
  const app = new Hono<HttpEnv>({ getPath: (_, asked) => asked?.env?.path ?? "" });
  for (const call of calls) {
    // A proxy that publishes the base path does not publish the probes with it.
    const path = call.isProbe ? call.path : basePath + call.path;
    app.on(call.method, path, (context) => carryOut(call, context));
  }
  metricsRoute(app, options);
  documents(app, options);
  app.notFound((context) => otherwise(app, context));
  app.onError((error) => {
    if (error instanceof EngineUnreachable) {
      tally.refusals.unreachable++;
      return problem("store_unreachable");
    }
    onError(error);
    return problem("internal");
  });

  const handle = (request: Request, client: Client, path: string) =>
    app.fetch(request, { request, client, path });
  const limited = guard(options, handle);
  const routes: ReadonlySet<string> = new Set(app.routes.map(({ path }) => path));
  const unlimited = guard({ ...options, limiter: undefined }, handle);
  return {
    isRoute: (path) => routes.has(path),
    fetch: (request, client, path) =>
      (probePaths.has(path) ? unlimited : limited)(request, client, path),
  };

  function carryOut(call: Call, context: Context<HttpEnv>): MaybePromise<Response> {
    if (options.draining() && call.problems.includes("draining")) {
      return refuse("draining", "draining");
    }
    if (call.body === undefined) return answerTo(call, context, noBody);
    return andThen(readAs(call.body, context.env.request), (read) => answerTo(call, context, read));
  }

  function answerTo(call: Call, context: Context<HttpEnv>, read: Read): MaybePromise<Response> {
    if ("fault" in read) return refuse("bad_request", read.fault, { detail: read.detail });
    return andThen(call.handle({ context, body: read.body }, services), asResponse);
  }

  function refuse(counted: Refusal, code: ProblemCode, options?: ProblemOptions): Response {
    tally.refusals[counted]++;
    return problem(code, options);
  }
}

function asResponse(answer: object): Response {
  return answer instanceof Response ? answer : answerJson(answer);
}

/** Answers what no route takes: OPTIONS, another method on a known path, an unknown path. */
function otherwise(app: Hono<HttpEnv>, { req, env }: Context<HttpEnv>): MaybePromise<Response> {
  const methods = app.routes.filter(({ path }) => path === req.path).map(({ method }) => method);
  if (methods.length === 0) return problem("not_found");
  const allow = [...methods, ...(methods.includes("GET") ? ["HEAD"] : []), "OPTIONS"].join(", ");
  if (req.method !== "OPTIONS") return problem("method_not_allowed", { allow });
  if (isPreflight(req.raw)) return answerPreflight(req.raw.headers, allow);
  if (!probePaths.has(req.path)) {
    return new Response(null, { status: 204, headers: { Allow: allow, ...commonHeaders } });
  }
  // Balancers may ask by OPTIONS (HAProxy's httpchk does): the status has to be that of GET.
  return andThen(app.fetch(new Request(`http://localhost${req.path}`), env), (answer) => {
    answer.headers.set("Allow", allow);
    return answer;
  });
}

/** Never limited: a balancer must not take a busy server for a dead one. */
export const probePaths: ReadonlySet<string> = new Set(
  calls.filter(({ isProbe }) => isProbe).map(({ path }) => path),
);

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
 * wants to send. Tracing libraries add headers, which change nothing here.
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
