/**
 * What an account counts. `client`: an IPv4 address, or the /64 of an IPv6 one. `customer`: its /56,
 * which most providers give to one household or company (RIPE-690 section 4.2). `site`: its /48.
 * `shared`: all clients of one proxy, if the proxy does not name them.
 */
export type AccountKind = keyof typeof kinds;

/**
 * `clients`: an account of this kind has the limit of that many clients. `part`: it may hold 1 / part
 * of what all share. Four customers at their limits fill a site, so one leaves three quarters to its
 * neighbours. In a mobile network, where each phone has a /64, some hundred phones share a customer.
 */
const kinds = {
  client: { clients: 1, part: 8 },
  customer: { clients: 4, part: 4 },
  site: { clients: 16, part: 2 },
  shared: { clients: 16, part: 2 },
} as const;

export const accountKinds = Object.keys(kinds) as [AccountKind, ...AccountKind[]];

/** An IPv4 client has one account; an IPv6 client has three: its own, its customer's and its site's. */
export interface Account {
  readonly key: string;
  readonly kind: AccountKind;
}

/** The account's limit, if one client has `perClient`. 0 is no limit and stays 0. */
export function limitOf({ kind }: Pick<Account, "kind">, perClient: number): number {
  return perClient * kinds[kind].clients;
}

/** An account of this kind may hold 1 / this of what all share. */
export function partOf(kind: AccountKind): number {
  return kinds[kind].part;
}

/** The most that an account may hold of a budget that all share, at least 1. */
export function shareOf({ kind }: Pick<Account, "kind">, budget: number): number {
  return Math.max(1, Math.floor(budget / kinds[kind].part));
}
