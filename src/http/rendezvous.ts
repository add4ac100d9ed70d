import { Hono } from "hono";
import { z } from "zod";
import type { Client } from "../admission/clients.ts";
import { type Code, parseAppId } from "../base/ids.ts";
import type { Guess } from "../engine/engine.ts";
import { anyAppId, anySide } from "../protocol/frames.ts";
import { type IceAnswer, type IceSource, maxGrantsPerSide } from "../rendezvous/ice.ts";
import {
  type Minted,
  type Rendezvous,
  type Unminted,
  unminted,
  unredeemed,
} from "../rendezvous/rendezvous.ts";
import type { ConnectionLog } from "../telemetry/connection-log.ts";
import type { Refusal, Tally } from "../telemetry/tally.ts";
import { answerJson } from "./answer.ts";
import type { HttpEnv } from "./app.ts";
import { isJson, parseJson, readBody } from "./body.ts";
import type { mintAnswer, redeemAnswer, whoamiAnswer } from "./description/answers.ts";
import { type ProblemCode, type ProblemOptions, problem } from "./problem.ts";

export interface RendezvousOptions {
  readonly tally: Pick<Tally, "refusals">;
  readonly rendezvous: Rendezvous;
  readonly ice: IceSource;
  /** The server is about to go: it makes no codes that its successor would not know. */
  readonly draining: () => boolean;
  readonly connectionLog?: ConnectionLog | undefined;
}

/** `ttl` in seconds; what is no positive number is as good as none. */
export const mintBody = z.object({ ttl: z.number().positive() });

export const redeemBody = z.object({ code: z.string().regex(/^[0-9]{4,8}$/) });

/** Which side of which room asks. */
export const iceBody = z.object({ appID: anyAppId, side: anySide });

const notACode =
  'The body must be a JSON object whose "code" is a string of 4 to 8 digits: {"code":"2802"}.';
const notASide =
  'The body must be a JSON object that names a side of a room: {"appID":"<uuid>","side":"A"}.';
const noIce = {
  no_seat: "Nobody is on this side of the room. Open its WebSocket first.",
  not_redeemed: "The room's code has not been redeemed at this server. Pair by a code first.",
  spent: `This address has had the ICE servers of this side ${maxGrantsPerSide} times in an hour. Pair by a new code.`,
} as const;

/** Minting and redeeming codes, and ICE servers for clients that get no welcome. */
export function rendezvousRoutes(options: RendezvousOptions): Hono<HttpEnv> {
  const { rendezvous, ice, draining, tally, connectionLog } = options;
  const app = new Hono<HttpEnv>();

  app.post("/code", async ({ req, env: client }) => {
    if (draining()) return refuse("draining", "draining");
    const body = mintBody.safeParse(parseJson((await readBody(req.raw)) ?? ""));
    const ttlMs = body.success ? body.data.ttl * 1000 : undefined;
    return answerMint(await rendezvous.mint({ ttlMs, client }), client);
  });

  app.post("/redeem", async ({ req, env: client }) => {
    const body = await read(req.raw, redeemBody, notACode);
    if (body instanceof Response) return body;
    return answerRedeem(await rendezvous.redeem(body.code as Code, client), client);
  });

  app.post("/ice", async ({ req, env: client }) => {
    const body = await read(req.raw, iceBody, notASide);
    if (body instanceof Response) return body;
    return answerIce(await ice.ask(body.appID, body.side, client));
  });

  // For people who set up a proxy in front of this server.
  app.get("/whoami", ({ req, env }) => {
    const { address, header = null, shared, fault } = env;
    const host = req.raw.headers.get("host");
    const appId = parseAppId(req.query("appID") ?? "");
    const room = appId && connectionLog?.roomTag(appId);
    return answerJson<z.infer<typeof whoamiAnswer>>({ address, header, shared, fault, host, room });
  });
  return app;

  /** The body as `schema` has it, or a refusal that says what it must be. */
  async function read<T>(
    request: Request,
    schema: z.ZodType<T>,
    detail: string,
  ): Promise<T | Response> {
    if (!isJson(request.headers.get("content-type"))) return refuse("bad_request", "not_json");
    const text = await readBody(request);
    if (text === undefined) return refuse("bad_request", "body_too_large");
    const body = schema.safeParse(parseJson(text));
    return body.success ? body.data : refuse("bad_request", "malformed", { detail });
  }

  function answerMint(minted: Minted | Unminted, client: Client): Response {
    if (minted.outcome !== "minted") return refuse(...unminted(minted));
    const { code, appId, expiresAt } = minted;
    connectionLog?.minted(appId, client.address);
    const body = { code, appID: appId, expiresAt: rfc3339(expiresAt) };
    return answerJson<z.infer<typeof mintAnswer>>(body);
  }

  function answerRedeem(guess: Guess, client: Client): Response {
    if (guess.outcome !== "taken") return refuse(...unredeemed(guess, client));
    const { appId, expiresAt } = guess.entry;
    connectionLog?.redeemed(appId, client.address);
    const body = { appID: appId, expiresAt: rfc3339(expiresAt) };
    return answerJson<z.infer<typeof redeemAnswer>>(body);
  }

  function answerIce(answer: IceAnswer): Response {
    switch (answer.outcome) {
      case "granted": {
        const { iceServers, expiresAt } = answer;
        const expiry = expiresAt === undefined ? {} : { expiresAt: rfc3339(expiresAt) };
        return answerJson({ iceServers, ...expiry });
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
  }

  function refuse(counted: Refusal, code: ProblemCode, options?: ProblemOptions): Response {
    tally.refusals[counted]++;
    return problem(code, options);
  }
}

/** A moment in ms since the epoch as RFC 3339 has it: UTC, to the millisecond. */
function rfc3339(ms: number): string {
  return new Date(ms).toISOString();
}
