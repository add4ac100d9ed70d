import type { Client } from "../admission/clients.ts";
import type { RateLimiter } from "../admission/rate-limit.ts";
import type { AppId, Side } from "../base/ids.ts";
import { andThen, type MaybePromise } from "../base/maybe-promise.ts";
import type { Config } from "../config/config.ts";
import type { IceGrant, Rooms } from "../engine/engine.ts";
import type { IceServer } from "../protocol/frames.ts";

export interface IceOptions
  extends Pick<Config, "iceServers" | "turnUrls" | "turnSecrets" | "turnTtlMs" | "turnRooms"> {
  readonly rooms: Pick<Rooms, "allowsIce">;
  /** ms since the epoch. */
  readonly now: () => number;
  /** Limits the grants to one client. */
  readonly limiter: RateLimiter;
  /** Limits the grants to one client for one side of a room. */
  readonly sideLimiter: RateLimiter;
}

export interface IceSource {
  /**
   * The ICE servers for the peer on this side. Servers with a credential cost their operator traffic. So
   * they are granted only in rooms whose code was redeemed, and each grant counts towards the limit of the
   * client that asks: a stranger who knows the appID cannot use up the grants of others. (A grant does
   * not count towards the holder of the seat, which may ask over IPv6 and have its socket over IPv4.) If
   * no server has a credential, every request is granted.
   */
  ask(appId: AppId, side: Side, client: Client): MaybePromise<IceAnswer>;
  /**
   * Like `ask`, but returns only the servers without a credential if it is refused or the engine is
   * unreachable. Never rejects.
   */
  offer(appId: AppId, side: Side, client: Client): MaybePromise<readonly IceServer[]>;
}

export type IceAnswer =
  | {
      readonly outcome: "granted";
      readonly iceServers: readonly IceServer[];
      /** When the credentials made for this answer expire, ms since the epoch; undefined: none were made. */
      readonly expiresAt: number | undefined;
    }
  | { readonly outcome: Exclude<IceGrant, "granted"> | "spent" }
  | { readonly outcome: "rate_limited"; readonly retryAfterMs: number };

/** Grants to one client for one side of a room: one for its first connection, others for reconnects. */
export const maxGrantsPerSide = 4;

/** Which ICE servers a side gets. */
export function iceSource(options: IceOptions): IceSource {
  const { rooms, now, iceServers, turnUrls, turnSecrets, turnTtlMs, limiter, sideLimiter } =
    options;
  const free = iceServers.filter(({ credential }) => credential === undefined);
  const [secret] = turnSecrets;
  const guarded = free.length < iceServers.length || (turnUrls.length > 0 && secret !== undefined);
  const mustBeRedeemed = options.turnRooms === "redeemed";

  function ask(appId: AppId, side: Side, { accounts }: Client): MaybePromise<IceAnswer> {
    if (!guarded) return { outcome: "granted", iceServers: free, expiresAt: undefined };
    const ofSide = accounts
      .slice(0, 1)
      .map(({ key, kind }) => ({ key: `${appId}/${side} ${key}`, kind }));
    const passage = limiter.take(accounts);
    if (!passage.ok) return { outcome: "rate_limited", retryAfterMs: passage.retryAfterMs };
    return andThen(
      rooms.allowsIce(appId, side, mustBeRedeemed),
      (outcome): IceAnswer => {
        if (outcome === "granted" && sideLimiter.take(ofSide).ok) return granted(appId, side);
        limiter.giveBack(accounts);
        return { outcome: outcome === "granted" ? "spent" : outcome };
      },
      (reason) => {
        limiter.giveBack(accounts);
        throw reason;
      },
    );
  }

  function granted(appId: AppId, side: Side): IceAnswer {
    if (secret === undefined) return { outcome: "granted", iceServers, expiresAt: undefined };
    const made = turnCredentials(secret, appId, side, now() + turnTtlMs);
    const { username, credential, expiresAt } = made;
    const turn = { urls: turnUrls, username, credential };
    return { outcome: "granted", iceServers: [...iceServers, turn], expiresAt };
  }

  return {
    ask,
    offer(appId, side, client) {
      return andThen(
        ask(appId, side, client),
        (answer) => (answer.outcome === "granted" ? answer.iceServers : free),
        () => free,
      );
    },
  };
}

/**
 * Credentials that a TURN server verifies with a secret that it shares with this server
 * (draft-uberti-behave-turn-rest-00 section 2.2; coturn's `use-auth-secret`). They allow new TURN
 * allocations until `expiresAt`, which is `until` rounded up to a second. The username is that time and a
 * hash. In the TURN server's log the hash shows which allocations belong to the same side of a room, but
 * not which room that is.
 */
function turnCredentials(secret: string, appId: AppId, side: Side, until: number) {
  const expirySeconds = Math.ceil(until / 1000);
  // 128 bits in hex, which has no colon: colons separate the parts of a username.
  const hash = new Bun.CryptoHasher("sha256").update(`${appId}/${side}`).digest("hex").slice(0, 32);
  const username = `${expirySeconds}:${hash}`;
  const credential = new Bun.CryptoHasher("sha1", secret).update(username).digest("base64");
  return { username, credential, expiresAt: expirySeconds * 1000 };
}
