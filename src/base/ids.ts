/** A room's name: a UUID in its canonical form, 36 characters, lower case (RFC 9562 section 4). */
export type AppId = string & { readonly __brand: "AppId" };

/** A rendezvous code: 4 to 8 decimal digits. A secret until it is redeemed: never log it. */
export type Code = string & { readonly __brand: "Code" };
export const codePattern = /^[0-9]{4,8}$/;

/** One of the two places in a room. */
export type Side = "A" | "B";

const canonical = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const withoutHyphens = /^[0-9a-f]{32}$/;

/** A fresh room: a random UUID, version 4 (RFC 9562 section 5.4). */
export function newAppId(): AppId {
  return crypto.randomUUID() as AppId;
}

/** A fresh name for a node of several: 12 hexadecimal digits, new with each start. */
export function newNodeId(): string {
  return crypto.randomUUID().slice(-12);
}

/**
 * Reads every form of a UUID that Go's `uuid.Parse` takes (any case, `urn:uuid:`, braces, no
 * hyphens), so that all of them name one room. Undefined when `text` is not a UUID.
 */
export function parseAppId(text: string): AppId | undefined {
  const lower = text.toLowerCase();
  if (canonical.test(lower)) return lower as AppId;
  if (lower.startsWith("urn:uuid:")) return keepCanonical(lower.slice(9));
  if (lower.startsWith("{") && lower.endsWith("}")) return keepCanonical(lower.slice(1, -1));
  if (!withoutHyphens.test(lower)) return undefined;
  const parts = [lower.slice(0, 8), lower.slice(8, 12), lower.slice(12, 16), lower.slice(16, 20)];
  return [...parts, lower.slice(20)].join("-") as AppId;
}

function keepCanonical(text: string): AppId | undefined {
  return canonical.test(text) ? (text as AppId) : undefined;
}

/** `A` or `B` in either case. Undefined for anything else. */
export function parseSide(text: string): Side | undefined {
  const upper = text.toUpperCase();
  return upper === "A" || upper === "B" ? upper : undefined;
}

export function otherSide(side: Side): Side {
  return side === "A" ? "B" : "A";
}
