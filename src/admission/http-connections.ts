import type { Account } from "../base/account.ts";
import type { Ledger } from "../base/ledger.ts";
import { socketLedger } from "./socket-limits.ts";

/** How late the runtime may close an idle connection: it checks every 4 s. */
const closesLateMs = 4_000;
/** How often idle connections are forgotten, ms. */
const forgetEveryMs = 1_000;
/** Most connections that are remembered, at 200 bytes each. Further ones are not kept open. */
const maxKept = 100_000;

interface Kept {
  readonly accounts: readonly Account[];
  /** It counts until then; monotonic, ms. */
  until: number;
}

interface ConnectionLimits {
  /** The open sockets. Together with HTTP connections they are at most as many as sockets alone may be. */
  readonly sockets: Ledger;
  /** Connections of one client, 16 times that of a site; 0: no limit, and no share of all either. */
  readonly perClient: number;
  /** How long a connection may be idle, ms; 0: each ends with its answer. */
  readonly idleMs: number;
  /** Monotonic, ms. */
  readonly monotonicMs: () => number;
}

/**
 * The HTTP connections that are kept open between requests. The runtime reports a connection with each of
 * its requests, but not its end. So it counts until it must have ended, which is after `idleMs` without a
 * request. It counts towards the client of its last request, and a client may have as many as
 * it may have sockets, of the same share of `max`.
 */
export function httpConnections({ sockets, perClient, idleMs, monotonicMs }: ConnectionLimits) {
  const ledger = socketLedger(sockets.most, perClient);
  /** By peer address and port. */
  const kept = new Map<string, Kept>();
  let forgetAt = 0;
  let refused = 0;

  function ended(connection: string): void {
    if (kept.size === 0) return;
    const known = kept.get(connection);
    if (known === undefined) return;
    kept.delete(connection);
    ledger.add(known.accounts, -1);
  }

  function forgetIdle(now: number): void {
    forgetAt = now + forgetEveryMs;
    for (const [connection, { until }] of kept) if (until <= now) ended(connection);
  }

  return {
    /** Whether the connection may be kept after this request. It counts only if it may. */
    mayKeep(connection: string, accounts: readonly Account[]): boolean {
      if (idleMs === 0) return false;
      const now = monotonicMs();
      if (now >= forgetAt) forgetIdle(now);
      const until = now + idleMs + closesLateMs;
      const known = kept.get(connection);
      const isOfSame = known !== undefined && known.accounts[0]?.key === accounts[0]?.key;
      if (isOfSame && kept.size + sockets.used <= sockets.most) {
        known.until = until;
        return true;
      }
      ended(connection);
      const isFull = kept.size >= maxKept || kept.size + sockets.used >= sockets.most;
      if (isFull || ledger.bound(accounts, 1) !== undefined) {
        refused++;
        return false;
      }
      ledger.add(accounts, 1);
      kept.set(connection, { accounts, until });
      return true;
    },
    /** Call it for a connection that became a socket, or that ends with its answer. */
    ended,
    /** Connections that count. */
    size(): number {
      forgetIdle(monotonicMs());
      return kept.size;
    },
    /** Requests so far whose connection was not kept because of a limit. */
    refused: () => refused,
  };
}

/**
 * How many requests are answered in one event loop turn. The runtime hands over all requests it has read at
 * once. Without this bound, 20 clients that each pipelined thousands of requests (RFC 9112 section 9.3.2)
 * made all others wait for 2.4 s.
 */
const maxRequestsPerTurn = 128;

/** `afterTurn` calls back when everything that this turn has read was handled. */
export function turnBudget(afterTurn: (run: () => void) => void) {
  let taken = 0;
  let deferred = 0;
  let end = Promise.withResolvers<void>();

  function turnOver(): void {
    if (taken > maxRequestsPerTurn) {
      end.resolve();
      end = Promise.withResolvers();
    }
    taken = 0;
  }

  return {
    /**
     * Undefined if the request may be answered in this turn; otherwise a promise of the turn's end, to be
     * awaited first. If the client sends another request meanwhile, the runtime closes the connection: it
     * accepts no request behind an unanswered one.
     */
    take(): Promise<void> | undefined {
      if (taken++ === 0) afterTurn(turnOver);
      if (taken <= maxRequestsPerTurn) return undefined;
      deferred++;
      return end.promise;
    },
    /** Requests so far that had to wait. */
    deferred: () => deferred,
  };
}
