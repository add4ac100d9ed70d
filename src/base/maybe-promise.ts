/**
 * A value, or a promise of it. The memory engine answers at once, the Redis engine after a round trip;
 * with `andThen` a value that is already there costs no promise.
 */
export type MaybePromise<T> = T | Promise<T>;

/**
 * Runs `next` on the value: at once if it is there, else when the promise is fulfilled. If the promise
 * is rejected, `failed` runs instead.
 */
export function andThen<T, U>(
  value: MaybePromise<T>,
  next: (value: T) => MaybePromise<U>,
  failed?: (reason: unknown) => MaybePromise<U>,
): MaybePromise<U> {
  return value instanceof Promise ? value.then(next, failed) : next(value);
}
