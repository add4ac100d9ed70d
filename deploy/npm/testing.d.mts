export interface TestServer {
  /** `http://127.0.0.1:PORT`, without a slash at its end. */
  readonly url: string;
  /** Disconnects its clients and resolves when it has ended. Calling it twice is harmless. */
  stop(): Promise<void>;
}

/**
 * Starts a server for tests in a process of its own, on a free port of this machine. Pages of any origin may
 * connect, and no limit counts. It ends with the process that started it, also when that process is killed.
 *
 * `env` holds settings, such as `{ ROOM_TTL: "2s" }` (docs/settings.md); those in this process's environment
 * are not read. Rejects when the server cannot start, and prints why.
 */
export function start(options?: {
  readonly env?: Readonly<Record<string, string>>;
}): Promise<TestServer>;
