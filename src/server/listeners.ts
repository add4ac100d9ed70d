import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import type { Server } from "bun";
import { StartError } from "../base/start-error.ts";
import type { Tls } from "../base/tls.ts";

export interface Listeners {
  readonly url: URL;
  readonly port: number;
  /**
   * New connections get this certificate from now on; those that stand go on as they are. What the
   * former socket has not accepted when it closes is reset, unless `net.ipv4.tcp_migrate_req` is 1.
   */
  rotate(tls: Tls): void;
  /** Requests that were accepted and not yet answered. */
  pendingRequests(): number;
  /** Refuses new connections, and cuts what is left. */
  stop(): Promise<void>;
}

/**
 * The server's listening sockets: one, or after a change of certificate one more each time, for
 * Bun can't change it on a socket that listens. The older ones end when their last connection does.
 * With `reusePort`, `serve` lets another socket listen on the same port.
 */
export function listen<Data>(
  port: number,
  tls: Tls | undefined,
  serve: (socket: {
    readonly port: number;
    readonly reusePort: boolean;
    readonly tls: Tls | undefined;
  }) => Server<Data>,
): Listeners {
  // With reusePort a port that is taken would not be noticed, and half of its clients be had.
  const rotates = tls !== undefined;
  if (rotates && port !== 0) void serve({ port, reusePort: false, tls }).stop(true);
  let current = serve({ port, reusePort: rotates, tls });
  const older = new Set<Server<Data>>();
  const { url } = current;
  const listening = current.port ?? port;

  return {
    url,
    port: listening,
    rotate(renewed) {
      const next = serve({ port: listening, reusePort: true, tls: renewed });
      const former = current;
      current = next;
      older.add(former);
      void former.stop().then(() => older.delete(former));
    },
    pendingRequests: () =>
      [current, ...older].reduce((sum, server) => sum + server.pendingRequests, 0),
    async stop() {
      await Promise.all([current, ...older].map((server) => server.stop(true)));
    },
  };
}

/** Bun's error for a name that does not resolve can be any; asked first, it is plain. */
export async function checkHost(host: string): Promise<void> {
  if (isIP(host) !== 0) return;
  try {
    await lookup(host);
  } catch {
    throw new StartError(
      `HOST="${host}" is no address of this machine and cannot be resolved. ` +
        "Use 0.0.0.0 for all of its addresses, or 127.0.0.1 for itself alone.",
    );
  }
}
