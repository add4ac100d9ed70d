/**
 * A name under which something is counted. A client is counted under its own account (an IPv4
 * address, or the /64 of an IPv6 one) and, where it has one, under that of its site (the /48). All
 * who come through a proxy that is not trusted are one account, of a site.
 */
export interface Account {
  readonly key: string;
  /** Many may stand behind it: its limits are wider, but it has some. */
  readonly isSite: boolean;
}

/** A site may do this many times what one client may. */
const clientsPerSite = 16;

/** The account's limit where one client has `perClient`; 0, no limit, stays 0. */
export function limitOf({ isSite }: Account, perClient: number): number {
  return isSite ? perClient * clientsPerSite : perClient;
}

/** One client may hold the eighth part of what all share, one site half of it. */
export const shareParts = { client: 8, site: 2 } as const;

/** The most that an account may hold of a budget that all share, at least 1. */
export function shareOf({ isSite }: Account, budget: number): number {
  return Math.max(1, Math.floor(budget / (isSite ? shareParts.site : shareParts.client)));
}
