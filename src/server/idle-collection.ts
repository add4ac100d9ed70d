import type { Cancel, Clock } from "../base/clock.ts";

const lookEveryMs = 1_000;
/** Work between two looks that still counts as idle. */
const idleWork = 10;
/** Work that leaves enough garbage behind for a collection to pay. */
const worthyWork = 10_000;

/**
 * Collects garbage when the server falls idle, be it after its start: at once, and again when the codes
 * and rooms of that work are forgotten. The runtime collects only as it allocates, so that an idle
 * server would keep the garbage of its start, 1 MB, and of its busiest moment, 35 MB after 20,000
 * sessions, until new clients come.
 */
export function collectWhenIdle({
  clock,
  work,
  collect,
  keptMs,
}: {
  readonly clock: Pick<Clock, "every" | "after">;
  /** How much has been done so far: only its growth counts. */
  readonly work: () => number;
  readonly collect: () => void;
  /** ms after which most of what a visitor has left is forgotten. */
  readonly keptMs: number;
}): Cancel {
  let seen = work();
  let collectedAt = Number.NEGATIVE_INFINITY;
  let cancelSecond: Cancel = () => {};
  const stop = clock.every(lookEveryMs, () => {
    const done = work();
    const isIdle = done - seen < idleWork;
    seen = done;
    if (!isIdle || done - collectedAt < worthyWork) return;
    collectedAt = done;
    collect();
    cancelSecond();
    cancelSecond = clock.after(keptMs, collect);
  });
  return () => {
    stop();
    cancelSecond();
  };
}
