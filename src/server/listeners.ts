import { isIP } from "node:net";
import type { Server } from "bun";
import { codeOf, StartError } from "../base/errors.ts";
import type { Config } from "../config/config.ts";
import type { Tls } from "./tls.ts";

/**
 * Throws a `StartError` for a name that does not resolve. Bun's own error may be that of an earlier,
 * unrelated call.
 */
export async function checkHost(host: string): Promise<void> {
  if (isIP(host) !== 0) return;
  try {
    const { lookup } = await import("node:dns/promises");
    await lookup(host);
  } catch {
    throw new StartError(
      `HOST="${host}" is not an address of this machine and cannot be resolved. ` +
        "Use 0.0.0.0 for all addresses of this machine, or 127.0.0.1 for itself alone.",
    );
  }
}

export interface Endpoint {
  readonly port: number;
  readonly reusePort: boolean;
  readonly tls: Tls | undefined;
}

/**
 * The server's listening sockets: one, and one more after each change of certificate, because Bun
 * cannot change it on a listening socket. Older ones end with their last connection.
 * `serve` opens a server; with `reusePort` another one may listen on the same port. Throws a
 * `StartError` if a setting can fix it.
 */
export function listen<Data>(
  { host, port }: Pick<Config, "host" | "port">,
  tls: Tls | undefined,
  serve: (endpoint: Endpoint) => Server<Data>,
) {
  // reusePort hides that a port is in use, and the kernel would share its clients between the two.
  const rotates = tls !== undefined;
  let current: Server<Data>;
  try {
    if (rotates && port !== 0) void serve({ port, reusePort: false, tls }).stop(true);
    current = serve({ port, reusePort: rotates, tls });
  } catch (error) {
    throw listenFault(error, { host, port }) ?? error;
  }
  const older = new Set<Server<Data>>();
  const all = () => [current, ...older];
  const { url } = current;
  const listening = current.port ?? port;

  return {
    url,
    port: listening,
    /**
     * New connections get this certificate from now on; open ones keep theirs. Connections that the
     * former socket has not accepted when it closes are reset, unless `net.ipv4.tcp_migrate_req` is 1.
     */
    rotate(renewed: Tls): void {
      const next = serve({ port: listening, reusePort: true, tls: renewed });
      const former = current;
      current = next;
      older.add(former);
      void former.stop().then(() => older.delete(former));
    },
    /** Requests that were accepted and not yet answered. */
    pendingRequests: () => all().reduce((sum, server) => sum + server.pendingRequests, 0),
    /** Closes HTTP connections that are kept and idle; says how many. */
    closeIdle: () => all().reduce((sum, server) => sum + server.closeIdleConnections(), 0),
    /** Refuses new connections and closes the open ones. */
    async stop(): Promise<void> {
      await Promise.all(all().map((server) => server.stop(true)));
    },
  };
}

/** What an error from listening means to the operator. Undefined if no setting can fix it. */
export function listenFault(
  error: unknown,
  { host, port }: Pick<Config, "host" | "port">,
): StartError | undefined {
  const code = codeOf(error);
  if (code.startsWith("ERR_OSSL_")) {
    return new StartError(
      `The certificate and key in TLS_CERT_FILE and TLS_KEY_FILE cannot be used (${code}). ` +
        "Name a certificate and its RSA, ECDSA or Ed25519 key.",
    );
  }
  const syscall = error instanceof Error && "syscall" in error ? error.syscall : undefined;
  if (syscall !== "listen" && syscall !== "getaddrinfo") return undefined;
  if (code === "EADDRINUSE") {
    return new StartError(
      `Port ${port} is in use. Stop the program that listens on it, ` +
        "or choose another port with PORT (0 takes any free one).",
    );
  }
  if (code === "EACCES" && port > 0 && port < 1_024) {
    return new StartError(
      `This user may not listen on port ${port}. Choose one above 1023 with PORT, ` +
        "or give the program the capability CAP_NET_BIND_SERVICE.",
    );
  }
  // A name that stopped resolving after `checkHost` can have any code.
  return new StartError(
    `Cannot listen on HOST=${JSON.stringify(host)}, port ${port} (${code}). ` +
      "Set HOST to an address of this machine: 0.0.0.0 for all of IPv4, :: for IPv6 and IPv4.",
  );
}
