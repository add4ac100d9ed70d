/** Who wants to know how a transfer goes. Ends with one call of `done` or `failed`. */
export interface Progress {
  /** Bytes so far, of those the header announced. */
  moved(bytes: number): void;
  done(): void;
  /** The channel closed before the end: cancelled, or lost. */
  failed(): void;
}
