import type { Context } from "hono";
import { z } from "zod/mini";
import { type Client, headerFaults } from "../admission/clients.ts";
import { rfc3339 } from "../base/clock.ts";
import { type Code, codePattern, parseAppId } from "../base/ids.ts";
import { andThen, type MaybePromise } from "../base/maybe-promise.ts";
import { anyAppId, anySide, described, type Immutable, iceServer } from "../protocol/frames.ts";
import { type IceSource, maxGrantsPerSide } from "../rendezvous/ice.ts";
import { type Rendezvous, unminted, unredeemed } from "../rendezvous/rendezvous.ts";
import type { ConnectionLog } from "../telemetry/connection-log.ts";
import type { Refusal } from "../telemetry/tally.ts";
import { answerJson } from "./answer.ts";
import type { ProblemCode, ProblemOptions } from "./problem.ts";

/** One HTTP call. Its route and its API description are made from this. */
export interface Call<Body = unknown, Answer extends object = object> {
  readonly id: string;
  readonly method: "get" | "post";
  /** Below the base path, except for probes. */
  readonly path: string;
  /** For balancers: outside of the base path, and never refused for its rate. */
  readonly isProbe?: true;
  readonly summary: string;
  readonly description?: string;
  /** Optional parameters of the query, by name. */
  readonly query?: Readonly<Record<string, z.ZodMiniType>>;
  /** `fault` describes the body that is expected. Without it, any other body counts as an empty one. */
  readonly body?: { readonly schema: z.ZodMiniType<Body>; readonly fault?: string };
  /** Bodies to try, by name. */
  readonly examples?: Readonly<Record<string, object>>;
  /** Strict: a field that is not described is a mistake. */
  readonly answers: { readonly 200: z.ZodMiniType<Answer>; readonly 503?: z.ZodMiniType };
  /** Beyond those of every call. One that names `draining` is refused while the server drains. */
  readonly problems: readonly ProblemCode[];
  /** A `Response` is sent as it is, anything else as JSON with status 200. */
  handle(
    asked: Asked<Body>,
    services: Services,
  ): MaybePromise<Immutable<NoInfer<Answer>> | Response>;
}

/** What Hono hands to every handler as its `env`. Its own `req` is one more object for each request. */
export interface HttpEnv {
  Bindings: { readonly request: Request; readonly client: Client; readonly path: string };
}

interface Asked<Body> {
  readonly context: Context<HttpEnv>;
  /** Undefined only for a body that was ignored. */
  readonly body: Body;
}

/** What the calls work with. */
export interface Services {
  readonly rendezvous: Rendezvous;
  readonly ice: IceSource;
  readonly connectionLog?: ConnectionLog | undefined;
  /** Undefined while the server can take on work; else why not, in a sentence for an operator. */
  readonly ready: () => MaybePromise<string | undefined>;
  /** What it refuses although it is ready, likewise. */
  readonly warning: () => string | undefined;
  /** A problem as the answer, counted as this refusal. */
  readonly refuse: (counted: Refusal, code: ProblemCode, options?: ProblemOptions) => Response;
}

const fromBody: readonly ProblemCode[] = ["malformed", "body_too_large", "not_json"];
const appId = z.uuid();
const moment = described(z.iso.datetime(), "RFC 3339, UTC, to the millisecond");
const code = z.string().check(z.regex(codePattern));

const mint = call({
  id: "mint",
  method: "post",
  path: "/rendezvous/code",
  summary: "Make a room and a code for it",
  description: "`ttl` asks for a shorter life, in seconds. Any other body counts as {}.",
  body: { schema: z.object({ ttl: z.optional(z.number().check(z.positive())) }) },
  examples: { usual: {}, short: { ttl: 60 } },
  answers: { 200: z.strictObject({ code, appID: appId, expiresAt: moment }) },
  problems: ["rate_limited", "client_full", "codes_full", "draining", "store_unreachable"],
  handle({ context: { env }, body }, { rendezvous, refuse }) {
    const ttlMs = body?.ttl && body.ttl * 1000;
    return andThen(rendezvous.mint({ ttlMs, client: env.client }), (minted) => {
      if (minted.outcome !== "minted") return refuse(...unminted(minted));
      const { code, appId, expiresAt } = minted;
      return { code, appID: appId, expiresAt: rfc3339(expiresAt) };
    });
  },
});

const redeem = call({
  id: "redeem",
  method: "post",
  path: "/rendezvous/redeem",
  summary: "Take a code out, once, for the room it was made for",
  body: {
    schema: z.object({ code }),
    fault:
      'The body must be a JSON object whose "code" is a string of 4 to 8 digits: {"code":"2802"}.',
  },
  examples: { usual: { code: "2802" } },
  answers: { 200: z.strictObject({ appID: appId, expiresAt: moment }) },
  problems: [
    ...fromBody,
    "code_gone",
    "code_withdrawn",
    "rate_limited",
    "too_many_misses",
    "shared_misses",
    "store_unreachable",
  ],
  handle({ context: { env }, body }, { rendezvous, refuse }) {
    return andThen(rendezvous.redeem(body.code as Code, env.client), (guess) => {
      if (guess.outcome !== "taken") return refuse(...unredeemed(guess, env.client));
      const { appId, expiresAt } = guess.entry;
      return { appID: appId, expiresAt: rfc3339(expiresAt) };
    });
  },
});

const noIce = {
  no_seat: "Nobody is on this side of the room. Open its WebSocket first.",
  not_redeemed: "The room's code has not been redeemed at this server. Pair by a code first.",
  spent: `This address has had the ICE servers of this side ${maxGrantsPerSide} times in an hour. Pair by a new code.`,
} as const;

const iceServers = call({
  id: "iceServers",
  method: "post",
  path: "/rendezvous/ice",
  summary: "Ask for ICE servers on behalf of a side that is in its room",
  description:
    "Servers with a credential are given to sides of rooms whose code was redeemed here, 4 times " +
    "a side and 30 times a client and hour. Clients of `nt.v2` have them in their welcome.",
  body: {
    schema: z.object({ appID: anyAppId, side: anySide }),
    fault:
      'The body must be a JSON object that names a side of a room: {"appID":"<uuid>","side":"A"}.',
  },
  examples: { usual: { appID: "7b9f2c1e-4d3a-4f6b-8c5d-0e1f2a3b4c5d", side: "A" } },
  answers: {
    200: z.strictObject({
      iceServers: z.array(iceServer),
      expiresAt: described(z.optional(moment), "When the credentials in it end"),
    }),
  },
  problems: [...fromBody, "ice_refused", "rate_limited", "store_unreachable"],
  async handle({ context: { env }, body }, { ice, refuse }) {
    const answer = await ice.ask(body.appID, body.side, env.client);
    switch (answer.outcome) {
      case "granted": {
        const { iceServers, expiresAt } = answer;
        return { iceServers, expiresAt: expiresAt === undefined ? undefined : rfc3339(expiresAt) };
      }
      case "no_seat":
      case "not_redeemed":
      case "spent":
        return refuse("ice", "ice_refused", { detail: noIce[answer.outcome] });
      case "rate_limited":
        return refuse("ice", "rate_limited", answer);
      default:
        return answer satisfies never;
    }
  },
});

/** For people who set up a proxy in front of this server. */
const whoami = call({
  id: "whoami",
  method: "get",
  path: "/rendezvous/whoami",
  summary: "Learn under which address this server counts you, and how its log names a room",
  query: { appID: described(z.uuid(), "The room to name") },
  answers: {
    200: z.strictObject({
      address: z.string(),
      header: described(
        z.nullable(z.string()),
        "The header of a trusted proxy that the address is from",
      ),
      shared: described(z.boolean(), "All clients behind a proxy that does not tell them apart"),
      fault: described(
        z.optional(z.enum(headerFaults)),
        "What the header of a trusted proxy lacks, if it names no client",
      ),
      host: described(
        z.nullable(z.string()),
        "The Host header, by which the server knows pages of its own",
      ),
      room: described(
        z.optional(z.string()),
        "The room of the appID in the log, if the log names rooms (LOG_LEVEL=debug)",
      ),
    }),
  },
  problems: ["rate_limited"],
  handle({ context: { req, env } }, { connectionLog }) {
    const { address, header = null, shared, fault } = env.client;
    const host = env.request.headers.get("host");
    const appId = parseAppId(req.query("appID") ?? "");
    const room = appId && connectionLog?.roomTag(appId);
    return { address, header, shared, fault, host, room };
  },
});

const alive = call({
  id: "alive",
  method: "get",
  path: "/healthz",
  isProbe: true,
  summary: "Learn whether the process serves",
  answers: { 200: z.strictObject({ ok: z.literal(true) }) },
  problems: [],
  handle: () => ({ ok: true as const }),
});

const ready = call({
  id: "ready",
  method: "get",
  path: "/readyz",
  isProbe: true,
  summary: "Learn whether it should get new clients",
  answers: {
    200: z.strictObject({
      ready: z.literal(true),
      warning: described(z.optional(z.string()), "What it refuses all the same"),
    }),
    503: z.strictObject({ ready: z.literal(false), reason: z.string() }),
  },
  problems: [],
  async handle(_, { ready, warning }) {
    let reason: string | undefined;
    try {
      reason = await ready();
    } catch {
      // The cause stays inside.
      reason = "The engine cannot be reached.";
    }
    if (reason !== undefined) return answerJson({ ready: false, reason }, 503);
    return { ready: true as const, warning: warning() };
  },
});

/** Checks a row: its handler gets what its body's schema gives, and answers what its answer promises. */
function call<Body, Answer extends object>(row: Call<Body, Answer>): Call {
  return row;
}

export const calls: readonly Call[] = [mint, redeem, iceServers, whoami, alive, ready];
