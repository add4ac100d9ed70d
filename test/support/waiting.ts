/** How long a test waits for what should have happened, unless it says otherwise, in ms. */
const patienceMs = 10_000;

/** What is waited for: there once it is neither undefined nor false. What it throws ends the wait. */
type Found<T> = T | undefined | false;

const over = Symbol("over");

/** What `promise` gives, or an error that says what was waited for. */
export async function within<T>(what: string, promise: Promise<T>, ms = patienceMs): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<typeof over>((resolve) => {
    timer = setTimeout(resolve, ms, over);
  });
  try {
    const first = await Promise.race([promise, late]);
    // Thrown here, not by the timer, so that it tells who waited.
    if (first === over) throw new Error(`Waited ${ms} ms for ${what}`);
    return first;
  } finally {
    clearTimeout(timer);
  }
}

/** Waits for something that changes, and looks for it after each change. */
export class Changes {
  private readonly waiting = new Set<() => void>();

  changed(): void {
    const woken = [...this.waiting];
    this.waiting.clear();
    for (const wake of woken) wake();
  }

  async until<T>(what: string, find: () => Found<T>): Promise<T> {
    const found = find();
    if (found !== undefined && found !== false) return found;
    const come = async () => {
      for (;;) {
        await new Promise<void>((wake) => this.waiting.add(wake));
        const found = find();
        if (found !== undefined && found !== false) return found;
      }
    };
    return within(what, come());
  }
}

/** Waits for what no event tells: looks for it every 5 ms. */
export function until<T>(
  what: string,
  find: () => Found<T> | Promise<Found<T>>,
  ms = patienceMs,
): Promise<T> {
  let over = false;
  const come = async () => {
    for (;;) {
      const found = await find();
      if (over || (found !== undefined && found !== false)) return found as T;
      await Bun.sleep(5);
    }
  };
  return within(what, come(), ms).finally(() => {
    over = true;
  });
}
