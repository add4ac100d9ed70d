/**
 * A value that is here already, or a promise of it. An engine in memory answers at once and a
 * shared one after a round trip; callers that use `andThen` cost no promise where none is needed.
 */
export type MaybePromise<T> = T | Promise<T>;

/**
 * Runs `next` on the value: in this very turn when the value is here, else when it arrives. `failed`
 * runs in its place when the value never will.
 */
export function andThen<T, U>(
  value: MaybePromise<T>,
  next: (value: T) => MaybePromise<U>,
  failed?: (reason: unknown) => MaybePromise<U>,
): MaybePromise<U> {
  return value instanceof Promise ? value.then(next, failed) : next(value);
}
