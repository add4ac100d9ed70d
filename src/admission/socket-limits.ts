import { readFileSync } from "node:fs";
import { type Account, limitOf, shareOf } from "../base/account.ts";

export type SocketLimits = ReturnType<typeof socketLimits>;

/** No share is smaller: one client may be both sides of a room. */
const leastShare = 2;

/**
 * How many sockets there are, in all and of each client and site. No client may have more than 1/8
 * of all that can be, no site more than 1/2.
 */
export function socketLimits({
  max,
  perClient,
}: {
  /** Sockets in all, > 0. */
  readonly max: number;
  /** Sockets of one client, 16 times that of a site; 0: no limit, and no share of all either. */
  readonly perClient: number;
}) {
  const open = new Map<string, number>();
  let total = 0;
  let clients = 0;

  function boundOf(account: Account): number {
    if (perClient === 0) return max;
    return Math.min(limitOf(account, perClient), Math.max(leastShare, shareOf(account, max)));
  }

  return {
    /** Whether the client of these accounts may open one more. Counts nothing. */
    admits(accounts: readonly Account[]): "ok" | "full" | "client_full" {
      if (total >= max) return "full";
      for (const account of accounts) {
        if ((open.get(account.key) ?? 0) >= boundOf(account)) return "client_full";
      }
      return "ok";
    },
    opened(accounts: readonly Account[]): void {
      total++;
      if (!open.has(accounts[0]?.key ?? "")) clients++;
      for (const { key } of accounts) open.set(key, (open.get(key) ?? 0) + 1);
    },
    closed(accounts: readonly Account[]): void {
      total--;
      for (const { key } of accounts) {
        const left = (open.get(key) ?? 0) - 1;
        if (left > 0) open.set(key, left);
        else open.delete(key);
      }
      if (!open.has(accounts[0]?.key ?? "")) clients--;
    },
    /** Sockets that may be open. */
    max,
    /** Sockets that are open. */
    size: () => total,
    /** Clients with a socket. */
    clients: () => clients,
  };
}

/** The limit where the system names none: most allow as many once Bun has raised it. */
const unknownLimit = 10_240;
/** Share that is left for files, HTTP and the system: without descriptors, Bun spins. */
const headroom = 0.05;

/** How many sockets this process can hold without running out of descriptors. */
export function socketsWithinOpenFiles(): number {
  return Math.floor(openFileLimit() * (1 - headroom));
}

function openFileLimit(): number {
  try {
    const limits = readFileSync("/proc/self/limits", "utf8");
    const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
    return soft === undefined ? unknownLimit : Number(soft);
  } catch {
    return unknownLimit;
  }
}
