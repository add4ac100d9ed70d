import type { AppId, Side } from "../base/ids.ts";

/** For one TURN allocation after another until `expiresAt`; after that none is begun. */
export interface TurnCredentials {
  readonly username: string;
  readonly credential: string;
  /** ms since the epoch, a whole second. */
  readonly expiresAt: number;
}

export interface TurnWish {
  readonly appId: AppId;
  readonly side: Side;
  /** ms since the epoch. */
  readonly now: number;
  /** How long they are good for, rounded up to whole seconds. */
  readonly ttlMs: number;
}

/**
 * Time-limited credentials that a TURN server checks by nothing but the secret it shares with this
 * one (draft-uberti-behave-turn-rest-00 section 2.2; coturn's `use-auth-secret`). The name is the
 * moment of expiry and a hash by which an operator can tell in the TURN server's log which
 * allocations belong to one side of one room, but not which room.
 */
export function turnCredentials(secret: string, wish: TurnWish): TurnCredentials {
  const expirySeconds = Math.ceil((wish.now + wish.ttlMs) / 1000);
  const username = `${expirySeconds}:${hashOf(wish)}`;
  const credential = new Bun.CryptoHasher("sha1", secret).update(username).digest("base64");
  return { username, credential, expiresAt: expirySeconds * 1000 };
}

/** 128 bits of SHA-256 in hex: colons separate the parts of a username, hex has none. */
function hashOf({ appId, side }: TurnWish): string {
  return new Bun.CryptoHasher("sha256").update(`${appId}/${side}`).digest("hex").slice(0, 32);
}
