import { closeSync, openSync, readFileSync } from "node:fs";
import { type Account, limitOf, shareOf } from "../base/account.ts";
import { codeOf } from "../base/errors.ts";

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
/** With fewer, one address can take them all: connections that send nothing are in no limit. */
const fewDescriptors = 65_536;

/** How many sockets this process can hold without running out of descriptors. */
export function socketsWithinOpenFiles(): number {
  return Math.floor((openFileLimit() ?? unknownLimit) * (1 - headroom));
}

/** What to tell an operator whose system allows the process few descriptors. */
export function fewOpenFiles(): string | undefined {
  const limit = openFileLimit();
  if (limit === undefined || limit >= fewDescriptors) return undefined;
  return (
    `This process may open ${limit} files. Connections that send no request are closed after 12 s ` +
    `and are in no other limit: one address can take all that are left. Allow ${fewDescriptors} ` +
    "(LimitNOFILE=, --ulimit nofile=, ulimit -Hn), or put a proxy that limits connections in front."
  );
}

/**
 * A question to ask again and again: whether half of what is left for others than sockets is taken.
 * The system gives the lowest free number to what is opened.
 */
export function descriptorShortage(): () => boolean {
  // Read now: once there is a shortage, no file can be read.
  const limit = openFileLimit() ?? Number.POSITIVE_INFINITY;
  return () => {
    try {
      const descriptor = openSync("/dev/null", "r");
      closeSync(descriptor);
      return descriptor >= limit * (1 - headroom / 2);
    } catch (error) {
      return codeOf(error) === "EMFILE";
    }
  };
}

/** Undefined where the system does not say. Bun has raised the soft limit to the hard one at its start. */
function openFileLimit(): number | undefined {
  try {
    const limits = readFileSync("/proc/self/limits", "utf8");
    const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}
