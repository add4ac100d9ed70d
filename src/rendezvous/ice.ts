import type { Client } from "../admission/clients.ts";
import type { RateLimiter } from "../admission/rate-limit.ts";
import type { AppId, Side } from "../base/ids.ts";
import { andThen, type MaybePromise } from "../base/maybe-promise.ts";
import type { IceServer } from "../config/ice-formats.ts";
import type { IceGrant, Rooms } from "../engine/engine.ts";

export interface IceOptions {
  readonly rooms: Pick<Rooms, "allowsIce">;
  /** ms since the epoch. */
  readonly now: () => number;
  /** What the operator lists as it is. */
  readonly iceServers: readonly IceServer[];
  /** TURN servers that this one makes credentials for; empty for none. */
  readonly turnUrls: readonly string[];
  /** The first signs; at least one where there are `turnUrls`. */
  readonly turnSecrets: readonly string[];
  readonly turnTtlMs: number;
  readonly turnRooms: "redeemed" | "any";
  /** How many grants one client may have. */
  readonly limiter: RateLimiter;
  /** How many of them for one side of a room. */
  readonly sideLimiter: RateLimiter;
}

export interface IceSource {
  /**
   * The ICE servers for the peer on this side. Servers with a credential cost their operator
   * traffic: they are counted, and refused to those that have not shown two parties by a redeemed
   * code. They count to who asks, so that a stranger who learns the appID uses up nobody else's. (Not
   * to who holds the seat: a client may ask over IPv6 and have its socket over IPv4.) Where there are
   * none, nothing is refused.
   */
  ask(appId: AppId, side: Side, client?: Client): MaybePromise<IceAnswer>;
  /**
   * As `ask`, for those who take what they get: servers without a credential when
   * refused, or when the engine cannot be reached. Never rejects.
   */
  offer(appId: AppId, side: Side, client?: Client): MaybePromise<readonly IceServer[]>;
}

export type IceAnswer =
  | {
      readonly outcome: "granted";
      readonly iceServers: readonly IceServer[];
      /** When credentials made for this answer end, ms since the epoch; undefined without any. */
      readonly expiresAt: number | undefined;
    }
  | { readonly outcome: Exclude<IceGrant, "granted"> | "spent" }
  | { readonly outcome: "rate_limited"; readonly retryAfterMs: number };

/** Grants to one client for one side of a room: the first connection and some after it broke. */
export const maxGrantsPerSide = 4;

/** Which ICE servers a side gets. */
export function iceSource(options: IceOptions): IceSource {
  const { rooms, now, iceServers, turnUrls, turnSecrets, turnTtlMs, limiter, sideLimiter } =
    options;
  const free = iceServers.filter(({ credential }) => credential === undefined);
  const [secret] = turnSecrets;
  const guarded = free.length < iceServers.length || (turnUrls.length > 0 && secret !== undefined);
  const mustBeRedeemed = options.turnRooms === "redeemed";

  function ask(appId: AppId, side: Side, client?: Client): MaybePromise<IceAnswer> {
    if (!guarded) return { outcome: "granted", iceServers: free, expiresAt: undefined };
    const accounts = client?.accounts ?? [];
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
    const made = turnCredentials(secret, { appId, side, now: now(), ttlMs: turnTtlMs });
    const { username, credential, expiresAt } = made;
    const turn = { urls: turnUrls, username, credential };
    return { outcome: "granted", iceServers: [...iceServers, turn], expiresAt };
  }

  return {
    ask,
    offer(appId, side, client) {
      const servers = andThen(ask(appId, side, client), (answer) =>
        answer.outcome === "granted" ? answer.iceServers : free,
      );
      return servers instanceof Promise ? servers.catch(() => free) : servers;
    },
  };
}

/**
 * Time-limited credentials that a TURN server checks by nothing but the secret it shares with this
 * one (draft-uberti-behave-turn-rest-00 section 2.2; coturn's `use-auth-secret`): good for one TURN
 * allocation after another until `expiresAt`, a whole second; after that none is begun. The name is
 * that moment and a hash by which an operator finds in the TURN server's log which allocations belong
 * to one side of one room, but not which room.
 */
export function turnCredentials(
  secret: string,
  {
    appId,
    side,
    now,
    ttlMs,
  }: { readonly appId: AppId; readonly side: Side; readonly now: number; readonly ttlMs: number },
) {
  const expirySeconds = Math.ceil((now + ttlMs) / 1000);
  // 128 bits in hex, which has no colon: colons separate the parts of a username.
  const hash = new Bun.CryptoHasher("sha256").update(`${appId}/${side}`).digest("hex").slice(0, 32);
  const username = `${expirySeconds}:${hash}`;
  const credential = new Bun.CryptoHasher("sha1", secret).update(username).digest("base64");
  return { username, credential, expiresAt: expirySeconds * 1000 };
}
