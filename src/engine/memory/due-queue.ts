/** An item that is due at `dueAt`, ms. Only the queue sets it. */
interface Due {
  dueAt: number;
}

/**
 * Items ordered by when they are due. Adding an item again moves it. Each item is returned once. A binary
 * heap: old entries of moved items stay in it until they come up. Moments and items are in two arrays, to
 * save an object per entry.
 */
export class DueQueue<T extends Due> {
  private readonly moments: number[] = [];
  private readonly things: T[] = [];

  add(thing: T, at: number): void {
    thing.dueAt = at;
    const { moments, things } = this;
    let index = moments.length;
    moments.push(at);
    things.push(thing);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if ((moments[parent] as number) <= at) break;
      moments[index] = moments[parent] as number;
      things[index] = things[parent] as T;
      index = parent;
    }
    moments[index] = at;
    things[index] = thing;
  }

  /** Takes out the item that is due first, if it is due at or before `until`. */
  take(until: number): T | undefined {
    while (this.moments.length > 0 && (this.moments[0] as number) <= until) {
      const at = this.moments[0] as number;
      const thing = this.removeFirst();
      if (thing.dueAt === at) {
        thing.dueAt = Number.POSITIVE_INFINITY;
        return thing;
      }
    }
    return undefined;
  }

  private removeFirst(): T {
    const { moments, things } = this;
    const first = things[0] as T;
    const at = moments.pop() as number;
    const last = things.pop() as T;
    const size = moments.length;
    if (size === 0) return first;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= size) break;
      if (child + 1 < size && (moments[child + 1] as number) < (moments[child] as number)) child++;
      if ((moments[child] as number) >= at) break;
      moments[index] = moments[child] as number;
      things[index] = things[child] as T;
      index = child;
    }
    moments[index] = at;
    things[index] = last;
    return first;
  }
}
