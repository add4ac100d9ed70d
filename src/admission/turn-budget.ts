/**
 * Requests answered in one turn of the event loop. The runtime hands over all that it has read at
 * once, so that 20 clients that each wrote thousands of requests in one go (pipelining, RFC 9112
 * section 9.3.2) kept all others waiting for 2.4 s.
 */
export const maxRequestsPerTurn = 128;

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
     * Undefined while the request may be answered in this turn. Else the end of the turn, to be
     * awaited first. The runtime ends a connection that has written one more request by then: it
     * takes no request past one that is not answered yet.
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
