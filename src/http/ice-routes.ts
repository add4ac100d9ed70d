import { z } from "zod";
import type { Client } from "../admission/clients.ts";
import { type AppId, parseAppId, parseSide, type Side } from "../base/ids.ts";
import { andThen, type MaybePromise } from "../base/maybe-promise.ts";
import { type IceAnswer, type IceSource, maxGrantsPerSide } from "../rendezvous/ice.ts";
import type { Tally } from "../telemetry/tally.ts";
import { commonHeaders } from "./answer.ts";
import { readBody } from "./body.ts";
import { isJson, parseJson, rfc3339 } from "./json.ts";
import { problem } from "./problem.ts";
import type { Routes } from "./routes.ts";

export interface IceRouteOptions {
  readonly clientOf: (request: Request) => Client;
  readonly tally: Pick<Tally, "refusals">;
  readonly ice: IceSource;
}

const maxBodyBytes = 4096;

/** Which side of which room asks. */
export const iceBody = z.object({
  appID: z
    .string()
    .transform((text, context): AppId => parsed(parseAppId(text), "must be a UUID", context))
    .meta({ format: "uuid" }),
  side: z
    .string()
    .transform((text, context): Side => parsed(parseSide(text), "must be A or B", context))
    .meta({ enum: ["A", "B", "a", "b"] }),
});

function parsed<T>(value: T | undefined, message: string, context: z.core.$RefinementCtx): T {
  if (value !== undefined) return value;
  context.addIssue({ code: "custom", message });
  return z.NEVER;
}

/** ICE servers for those that cannot be told in a welcome. */
export function iceRoutes(routes: Routes, options: IceRouteOptions): void {
  const { ice, clientOf, tally } = options;
  routes.post("/rendezvous/ice", (request) => ask(request, clientOf(request)));

  function ask(request: Request, client: Client): MaybePromise<Response> {
    if (!isJson(request.headers.get("content-type"))) {
      tally.refusals.bad_request++;
      return problem("not_json");
    }
    return andThen(readBody(request, maxBodyBytes), (body) => {
      if (body.outcome === "too_large") {
        tally.refusals.bad_request++;
        return problem("body_too_large");
      }
      const wanted = iceBody.safeParse(parseJson(body));
      if (!wanted.success) {
        tally.refusals.bad_request++;
        return problem("malformed", { detail: notASide });
      }
      const { appID, side } = wanted.data;
      return andThen(ice.ask(appID, side, client), told);
    });
  }

  function told(answer: IceAnswer): Response {
    switch (answer.outcome) {
      case "granted":
        return answerIce(answer);
      case "no_seat":
      case "not_redeemed":
      case "spent":
        tally.refusals.ice++;
        return problem("ice_refused", { detail: refusals[answer.outcome] });
      case "rate_limited":
        tally.refusals.ice++;
        return problem("rate_limited", answer);
      default:
        return answer satisfies never;
    }
  }
}

const notASide =
  'The body must be a JSON object that names a side of a room: {"appID":"<uuid>","side":"A"}.';

const refusals = {
  no_seat: "Nobody is on this side of the room. Open its WebSocket first.",
  not_redeemed: "The room's code has not been redeemed at this server. Pair by a code first.",
  spent: `This side has had its ICE servers ${maxGrantsPerSide} times. Pair by a new code.`,
} as const;

function answerIce({ iceServers, expiresAt }: Extract<IceAnswer, { outcome: "granted" }>) {
  const expiry = expiresAt === undefined ? {} : { expiresAt: rfc3339(expiresAt) };
  const headers = { "Content-Type": "application/json", ...commonHeaders };
  return new Response(JSON.stringify({ iceServers, ...expiry }), { headers });
}
