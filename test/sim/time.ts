import { drainMicrotasks } from "bun:jsc";
import type { Cancel } from "../../src/base/clock.ts";
import { chance } from "../support/chance.ts";

/** A process that runs code: a node, a client or the network. */
export interface Process {
  /** It was killed: its planned events never run. */
  dead: boolean;
  /** Stopped, as by SIGSTOP: its events wait until then. */
  stoppedUntil: number;
}

export function newProcess(): Process {
  return { dead: false, stoppedUntil: 0 };
}

/** The network and the users. They never stop. */
export const nature: Process = newProcess();

interface Event {
  at: number;
  /** Orders events of the same ms: they run in the order in which they were planned. */
  order: number;
  run: (() => void) | undefined;
  readonly of: Process;
}

/**
 * Virtual time in whole ms, with one queue of events. Each event is one event loop turn. Microtasks of a
 * turn run before the next turn.
 */
export class Time {
  /** ms since the simulation began. */
  now = 0;
  events = 0;
  /** The process whose turn it is. Events planned in this turn belong to it. */
  current: Process = nature;
  private planned = 0;
  private readonly heap: Event[] = [];
  /** Callbacks for the end of this turn. */
  private turnEnds: (() => void)[] = [];
  /** Called with uncaught errors. */
  uncaught: (error: unknown) => void = () => {};

  after(ms: number, run: () => void, of: Process = this.current): Cancel {
    const at = this.now + Math.max(0, Math.ceil(ms));
    const event: Event = { at, order: this.planned++, run, of };
    this.push(event);
    return () => {
      event.run = undefined;
    };
  }

  every(ms: number, run: () => void, of: Process = this.current): Cancel {
    const stepMs = Math.max(1, Math.round(ms));
    const tick = () => {
      cancel = this.after(stepMs, tick, of);
      run();
    };
    let cancel = this.after(stepMs, tick, of);
    return () => cancel();
  }

  atEndOfTurn(run: () => void): void {
    this.turnEnds.push(run);
  }

  /** Runs the events up to `until`, as long as `goesOn` returns true. */
  run(until: number, goesOn: () => boolean): void {
    for (let event = this.heap[0]; event && event.at <= until && goesOn(); event = this.heap[0]) {
      this.pop();
      this.now = event.at;
      const { of, run } = event;
      if (run === undefined || of.dead) continue;
      if (of.stoppedUntil > this.now) {
        event.at = of.stoppedUntil;
        event.order = this.planned++;
        this.push(event);
        continue;
      }
      this.events++;
      this.current = of;
      try {
        run();
      } catch (error) {
        this.uncaught(error);
      }
      drainMicrotasks();
      if (this.turnEnds.length > 0) for (const end of this.turnEnds.splice(0)) end();
    }
    if (goesOn()) this.now = Math.max(this.now, until);
    this.current = nature;
  }

  /** Runs something as another process, with all that it makes due at once. */
  as<T>(of: Process, run: () => T): T {
    const before = this.current;
    this.current = of;
    try {
      return run();
    } finally {
      drainMicrotasks();
      this.current = before;
    }
  }

  private push(event: Event): void {
    const { heap } = this;
    let i = heap.length;
    heap.push(event);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      const above = heap[parent] as Event;
      if (!isBefore(event, above)) break;
      heap[i] = above;
      i = parent;
    }
    heap[i] = event;
  }

  private pop(): void {
    const { heap } = this;
    const last = heap.pop() as Event;
    const { length } = heap;
    if (length === 0) return;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= length) break;
      if (child + 1 < length && isBefore(heap[child + 1] as Event, heap[child] as Event)) child++;
      if (!isBefore(heap[child] as Event, last)) break;
      heap[i] = heap[child] as Event;
      i = child;
    }
    heap[i] = last;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/** When every simulation begins, ms since the Unix epoch. */
export const epoch = Date.UTC(2026, 0, 1);

/**
 * Runs `play` with globals for time and randomness that use `time` and the seed. `play` is synchronous, so
 * nothing else in this process sees them.
 */
export function withVirtualGlobals<T>(time: Time, seed: number, play: () => T): T {
  const draws = chance(seed);
  const uuid = () => {
    const hex = draws.bytes(16).toString("hex");
    const variant = "89ab"[draws.below(4)];
    const parts = [hex.slice(0, 8), hex.slice(8, 12), `4${hex.slice(13, 16)}`];
    return [...parts, `${variant}${hex.slice(17, 20)}`, hex.slice(20)].join("-");
  };
  const fill = <A extends ArrayBufferView>(array: A): A => {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    bytes.set(draws.bytes(bytes.length));
    return array;
  };
  const restore = [
    replace(globalThis, "setTimeout", (run: () => void, ms = 0) => ({
      cancel: time.after(ms, run),
      unref() {},
    })),
    replace(globalThis, "clearTimeout", (timer?: { cancel(): void }) => timer?.cancel()),
    replace(globalThis, "setImmediate", (run: (...given: unknown[]) => void, ...given: unknown[]) =>
      time.after(0, () => run(...given)),
    ),
    replace(Date, "now", () => epoch + time.now),
    replace(Math, "random", () => draws.below(2 ** 32) / 2 ** 32),
    replace(crypto, "randomUUID", uuid),
    replace(crypto, "getRandomValues", fill),
  ];
  try {
    return play();
  } finally {
    for (const put of restore) put();
  }
}

function replace(owner: object, name: string, stand: unknown): () => void {
  const before = Object.getOwnPropertyDescriptor(owner, name);
  Object.defineProperty(owner, name, { value: stand, configurable: true, writable: true });
  return () => {
    if (before === undefined) Reflect.deleteProperty(owner, name);
    else Object.defineProperty(owner, name, before);
  };
}
