import type { Client } from "../admission/clients.ts";
import type { RateLimiter } from "../admission/rate-limit.ts";
import { rfc3339 } from "../base/clock.ts";
import type { Code } from "../base/ids.ts";
import { andThen, type MaybePromise } from "../base/maybe-promise.ts";
import { faultOf, type ProblemOptions } from "../http/problem.ts";
import { clientFrames, faultsIn, type RoomRefusal, serverFrame } from "../protocol/frames.ts";
import { type Rendezvous, unminted, unredeemed } from "../rendezvous/rendezvous.ts";
import type { NoSeat } from "../signaling/arrival.ts";
import type { AskForRoom, Entered, RefusedRoom, SignalingContext } from "../signaling/context.ts";
import type { Refusal, Tally } from "../telemetry/tally.ts";

/** The problem code for each reason why a newcomer gets no seat. */
export const noSeats = {
  rooms_full: "rooms_full",
  rooms_share: "too_many_rooms",
  unreachable: "store_unreachable",
} as const satisfies Record<NoSeat, RoomRefusal>;

/** A socket without a room in its URL always uses the newest dialect. */
const dialect = { mailboxClient: true, v2: true } as const;

interface EntranceParts {
  readonly rendezvous: Rendezvous;
  readonly limiter: RateLimiter;
  readonly draining: () => boolean;
  /** ms since the Unix epoch. */
  readonly now: () => number;
  readonly tally: Pick<Tally, "refusals">;
  /** Called for each refusal. */
  readonly limited: (code: RoomRefusal, address: string) => void;
}

/**
 * Handles room requests in frames. Limits and refusals are the same as for the calls over HTTP.
 */
export function createEntrance(
  parts: EntranceParts,
): Pick<SignalingContext, "askForRoom" | "describeNoSeat"> {
  const { rendezvous, limiter, draining, now } = parts;

  const askForRoom: AskForRoom = (type, frame, client) => {
    const passage = limiter.take(client.accounts);
    if (!passage.ok) return refuse(client, "rate_limited", "rate_limited", passage);
    if (draining()) return refuse(client, "draining", "draining");
    const schema = clientFrames[type].schema;
    const fields = schema.safeParse(frame);
    if (!fields.success) {
      return refuse(client, "bad_request", "malformed", { detail: faultsIn(type, fields.error) });
    }
    const { sid = "" } = fields.data;
    if ("code" in fields.data) return redeem(fields.data.code as Code, sid, client);
    if ("appID" in fields.data) {
      const { appID: appId, side } = fields.data;
      return { identity: { appId, side, sid, ...dialect }, frame: undefined };
    }
    return mint(fields.data.ttl, sid, client);
  };
  return { askForRoom, describeNoSeat: (why, client) => refuse(client, why, noSeats[why]) };

  function mint(ttl: unknown, sid: string, client: Client): MaybePromise<Entered | RefusedRoom> {
    const ttlMs = typeof ttl === "number" && ttl > 0 ? ttl * 1000 : undefined;
    return andThen(rendezvous.mint({ ttlMs, client }), (minted) => {
      if (minted.outcome !== "minted") return refuse(client, ...unminted(minted));
      const { code, appId, expiresAt } = minted;
      const room = { appID: appId, side: "A", expiresAt: rfc3339(expiresAt) } as const;
      const frame = serverFrame("minted", { code, ...room, now: rfc3339(now()) });
      return { identity: { appId, side: "A", sid, ...dialect }, frame };
    });
  }

  function redeem(code: Code, sid: string, client: Client): MaybePromise<Entered | RefusedRoom> {
    return andThen(rendezvous.redeem(code, client), (guess) => {
      if (guess.outcome !== "taken") return refuse(client, ...unredeemed(guess, client));
      const { appId, expiresAt } = guess.entry;
      const room = { appID: appId, side: "B", expiresAt: rfc3339(expiresAt) } as const;
      const frame = serverFrame("redeemed", { ...room, now: rfc3339(now()) });
      return { identity: { appId, side: "B", sid, ...dialect }, frame };
    });
  }

  function refuse(
    { address }: Client,
    counted: Refusal,
    code: RoomRefusal,
    words?: ProblemOptions,
  ): RefusedRoom {
    parts.tally.refusals[counted]++;
    parts.limited(code, address);
    return { code, ...faultOf(code, words) };
  }
}
