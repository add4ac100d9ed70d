import type { Server } from "bun";
import type { Tls } from "../base/tls.ts";

export interface ListenOptions<Data> {
  readonly tls: Tls | undefined;
  /** Opens a server. With `reusePort` another one may listen on the same port. */
  readonly serve: (options: {
    readonly port: number;
    readonly reusePort: boolean;
    readonly tls: Tls | undefined;
  }) => Server<Data>;
  readonly port: number;
}

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
 */
export function listen<Data>({ tls, serve, port }: ListenOptions<Data>): Listeners {
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
