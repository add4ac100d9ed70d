import { z } from "zod";
import type { Client } from "../admission/clients.ts";
import type { Code } from "../base/ids.ts";
import { andThen, type MaybePromise } from "../base/maybe-promise.ts";
import type { Guess } from "../engine/engine.ts";
import type { Minted, Rendezvous, Unminted } from "../rendezvous/rendezvous.ts";
import type { Refusal, Tally } from "../telemetry/tally.ts";
import { answerJson } from "./answer.ts";
import { type Body, readBody } from "./body.ts";
import { isJson, parseJson, rfc3339 } from "./json.ts";
import { type ProblemCode, type ProblemOptions, problem } from "./problem.ts";
import type { Routes } from "./routes.ts";

export interface RendezvousRouteOptions {
  readonly clientOf: (request: Request) => Client;
  readonly tally: Pick<Tally, "refusals">;
  readonly rendezvous: Rendezvous;
  /** The server is about to go: it makes no codes that its successor would not know. */
  readonly draining: () => boolean;
}

const maxBodyBytes = 4096;
/** By then a successor listens, or a balancer has noticed. */
const drainingRetryMs = 1_000;

/** `ttl` in seconds; what is no positive number is as good as none. */
export const mintBody = z.object({ ttl: z.number().positive() });

export const redeemBody = z.object({ code: z.string().regex(/^[0-9]{4,8}$/) });

/** Minting and redeeming codes. */
export function rendezvousRoutes(routes: Routes, options: RendezvousRouteOptions): void {
  const { rendezvous, clientOf, draining, tally } = options;
  routes.post("/rendezvous/code", (request) => mint(request, clientOf(request)));
  routes.post("/rendezvous/redeem", (request) => redeem(request, clientOf(request)));
  routes.get("/rendezvous/whoami", (request) =>
    whoami(clientOf(request), request.headers.get("host")),
  );

  function mint(request: Request, client: Client): MaybePromise<Response> {
    if (draining()) return refuse("draining", "draining", { retryAfterMs: drainingRetryMs });
    return andThen(readBody(request, maxBodyBytes), (body) =>
      andThen(rendezvous.mint({ ttlMs: wantedTtlMs(body), client }), told),
    );
  }

  function told(minted: Minted | Unminted): Response {
    switch (minted.outcome) {
      case "minted": {
        const { code, appId, expiresAt } = minted;
        return answerJson({ code, appID: appId, expiresAt: rfc3339(expiresAt) });
      }
      case "client_full":
        return refuse("codes_per_client", "client_full", minted);
      case "codes_full":
        return refuse("codes_full", "codes_full", minted);
      default:
        return minted satisfies never;
    }
  }

  function redeem(request: Request, client: Client): MaybePromise<Response> {
    if (!isJson(request.headers.get("content-type"))) return refuse("bad_request", "not_json");
    return andThen(readBody(request, maxBodyBytes), (body) => {
      if (body.outcome === "too_large") return refuse("bad_request", "body_too_large");
      const wanted = redeemBody.safeParse(parseJson(body));
      if (!wanted.success) return refuse("bad_request", "malformed", { detail: notACode });
      const guess = rendezvous.redeem(wanted.data.code as Code, client);
      return andThen(guess, (outcome) => redeemed(outcome, client));
    });
  }

  function redeemed(guess: Guess, client: Client): Response {
    switch (guess.outcome) {
      case "taken": {
        const { appId, expiresAt } = guess.entry;
        return answerJson({ appID: appId, expiresAt: rfc3339(expiresAt) });
      }
      case "locked":
        return refuse("guesses", client.shared ? "shared_misses" : "too_many_misses", guess);
      case "gone":
        return refuse("gone", "code_gone");
      case "withdrawn":
        return refuse("withdrawn", "code_withdrawn");
      default:
        return guess satisfies never;
    }
  }

  function refuse(counted: Refusal, code: ProblemCode, options?: ProblemOptions): Response {
    tally.refusals[counted]++;
    return problem(code, options);
  }
}

/** How this server sees who asks: for whoever sets up a proxy in front of it. */
function whoami({ address, header, shared }: Client, host: string | null): Response {
  return answerJson({ address, header: header ?? null, shared, host });
}

const notACode =
  'The body must be a JSON object whose "code" is a string of 4 to 8 digits: {"code":"2802"}.';

/** Undefined when the body, of whatever kind and size, asks for no particular ttl. */
function wantedTtlMs(body: Body): number | undefined {
  const wish = mintBody.safeParse(parseJson(body));
  return wish.success ? wish.data.ttl * 1000 : undefined;
}
