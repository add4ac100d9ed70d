/**
 * Requests answered in one turn of the event loop. A client that writes thousands of them in one go
 * (pipelining, RFC 9112 section 9.3.2) gets the runtime to hand over all that it has read at once:
 * 20 such connections kept everybody else waiting for 2.4 s.
 */
export const maxRequestsPerTurn = 128;

export interface TurnBudget {
  /**
   * Undefined while the request may be answered in this turn. Else the end of the turn, to be
   * awaited first: a connection that has written one more request by then is ended by the runtime,
   * which does not take requests past one that is still to be answered.
   */
  take(): Promise<void> | undefined;
  /** Requests so far that had to wait. */
  deferred(): number;
}

/** `afterTurn` calls back when everything that this turn has read was handled. */
export function turnBudget(afterTurn: (run: () => void) => void): TurnBudget {
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
    take() {
      if (taken++ === 0) afterTurn(turnOver);
      if (taken <= maxRequestsPerTurn) return undefined;
      deferred++;
      return end.promise;
    },
    deferred: () => deferred,
  };
}
