import type { Clock } from "../../src/base/clock.ts";

interface Timer {
  at: number;
  readonly everyMs: number | undefined;
  readonly run: () => void;
}

export interface FakeClock extends Clock {
  /** Lets time pass: timers fire in order, each at its own moment. */
  advance(ms: number): void;
}

/** Time that stands still until a test moves it. */
export function fakeClock(start = Date.UTC(2026, 0, 1)): FakeClock {
  let time = start;
  const timers = new Set<Timer>();
  const add = (ms: number, everyMs: number | undefined, run: () => void) => {
    const timer = { at: time + ms, everyMs, run };
    timers.add(timer);
    return () => void timers.delete(timer);
  };
  const due = (until: number) => {
    let first: Timer | undefined;
    for (const timer of timers) {
      if (timer.at <= until && (first === undefined || timer.at < first.at)) first = timer;
    }
    return first;
  };
  return {
    now: () => time,
    monotonicMs: () => time - start,
    after: (ms, run) => add(ms, undefined, run),
    every: (ms, run) => add(ms, ms, run),
    advance(ms) {
      const until = time + ms;
      for (let timer = due(until); timer; timer = due(until)) {
        time = timer.at;
        if (timer.everyMs === undefined) timers.delete(timer);
        else timer.at += timer.everyMs;
        timer.run();
      }
      time = until;
    },
  };
}
