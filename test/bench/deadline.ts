/** What `promise` gives, or an error that says what was waited for. */
export async function inTime<T>(what: string, ms: number, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Waited ${ms} ms for ${what}`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Looks every few ms until it is so. */
export async function becomes(what: string, ms: number, is: () => boolean): Promise<void> {
  const until = performance.now() + ms;
  while (!is()) {
    if (performance.now() > until) throw new Error(`Waited ${ms} ms for ${what}`);
    await Bun.sleep(5);
  }
}
