import { type Account, limitOf, shareOf } from "../base/account.ts";

export interface SocketLimitsOptions {
  /** Sockets in all, > 0. */
  readonly max: number;
  /** Sockets of one client, 16 times that of a site; 0: no limit, and no share of all either. */
  readonly perClient: number;
}

export interface SocketLimits {
  /** Whether the client of these accounts may open one more. Counts nothing. */
  admits(accounts: readonly Account[]): "ok" | "full" | "client_full";
  opened(accounts: readonly Account[]): void;
  closed(accounts: readonly Account[]): void;
  /** Sockets that may be open. */
  readonly max: number;
  /** Sockets that are open. */
  size(): number;
  /** Clients with a socket. */
  clients(): number;
}

/** Both sides of a room, if they are one client: however small a share is, this much it is. */
const leastShare = 2;

/**
 * How many sockets there are, in all and of each client and site. No client may have more than 1/8
 * of all that can be, no site more than 1/2.
 */
export function socketLimits({ max, perClient }: SocketLimitsOptions): SocketLimits {
  const open = new Map<string, number>();
  let total = 0;
  let clients = 0;

  function boundOf(account: Account): number {
    if (perClient === 0) return max;
    return Math.min(limitOf(account, perClient), Math.max(leastShare, shareOf(account, max)));
  }

  return {
    admits(accounts) {
      if (total >= max) return "full";
      for (const account of accounts) {
        if ((open.get(account.key) ?? 0) >= boundOf(account)) return "client_full";
      }
      return "ok";
    },
    opened(accounts) {
      total++;
      if (!open.has(accounts[0]?.key ?? "")) clients++;
      for (const { key } of accounts) open.set(key, (open.get(key) ?? 0) + 1);
    },
    closed(accounts) {
      total--;
      for (const { key } of accounts) {
        const left = (open.get(key) ?? 0) - 1;
        if (left > 0) open.set(key, left);
        else open.delete(key);
      }
      if (!open.has(accounts[0]?.key ?? "")) clients--;
    },
    max,
    size: () => total,
    clients: () => clients,
  };
}
