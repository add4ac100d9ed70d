import type { Client } from "./clients.ts";

export interface SocketLimitsOptions {
  /** Sockets in all, > 0. */
  readonly max: number;
  /** Sockets of one client; 0: no limit. Shared clients have none. */
  readonly perClient: number;
}

export interface SocketLimits {
  /** Whether the client may open one more. Counts nothing. */
  admits(client: Client): "ok" | "full" | "client_full";
  opened(key: string): void;
  closed(key: string): void;
  /** Sockets that may be open. */
  readonly max: number;
  /** Sockets that are open. */
  size(): number;
  /** Clients with a socket. */
  clients(): number;
}

/** How many sockets there are, in all and of each client. */
export function socketLimits({ max, perClient }: SocketLimitsOptions): SocketLimits {
  const open = new Map<string, number>();
  let total = 0;

  return {
    admits({ key, shared }) {
      if (total >= max) return "full";
      if (perClient === 0 || shared) return "ok";
      return (open.get(key) ?? 0) < perClient ? "ok" : "client_full";
    },
    opened(key) {
      total++;
      open.set(key, (open.get(key) ?? 0) + 1);
    },
    closed(key) {
      total--;
      const left = (open.get(key) ?? 0) - 1;
      if (left > 0) open.set(key, left);
      else open.delete(key);
    },
    max,
    size: () => total,
    clients: () => open.size,
  };
}
