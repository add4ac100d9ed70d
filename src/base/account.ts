/**
 * Whom an account stands for. `client`: an IPv4 address, or the /64 of an IPv6 one. `customer`: the
 * /56 around it, which is what most providers give one household or company (RIPE-690 section 4.2).
 * `site`: the /48 around that. `shared`: all who come through one proxy and cannot be told apart.
 */
export type AccountKind = keyof typeof kinds;

/**
 * How many clients' worth of a limit each kind may use, and which part of what all share it may hold,
 * as 1 in so many. Four customers at their limits fill a site: one of them leaves its neighbours three
 * quarters, and in a network that gives each phone a /64 a few hundred phones share what four may do.
 */
const kinds = {
  client: { clients: 1, part: 8 },
  customer: { clients: 4, part: 4 },
  site: { clients: 16, part: 2 },
  shared: { clients: 16, part: 2 },
} as const;

export const accountKinds = Object.keys(kinds) as [AccountKind, ...AccountKind[]];

/** A name under which something is counted. A client has one account, or one of each size. */
export interface Account {
  readonly key: string;
  readonly kind: AccountKind;
}

/** The account's limit where one client has `perClient`; 0, no limit, stays 0. */
export function limitOf({ kind }: Pick<Account, "kind">, perClient: number): number {
  return perClient * kinds[kind].clients;
}

/** An account of this kind may hold one part in so many of what all share. */
export function partOf(kind: AccountKind): number {
  return kinds[kind].part;
}

/** The most that an account may hold of a budget that all share, at least 1. */
export function shareOf({ kind }: Pick<Account, "kind">, budget: number): number {
  return Math.max(1, Math.floor(budget / kinds[kind].part));
}
