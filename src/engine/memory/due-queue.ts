/** Something that falls due at `dueAt`, ms. Only the queue sets it. */
export interface Due {
  dueAt: number;
}

/**
 * Things by the moment at which they fall due. Adding again moves a thing to its new moment; each
 * is handed out once. A binary heap in which the entries of moved things stay until they come up.
 */
export class DueQueue<T extends Due> {
  private readonly heap: { readonly at: number; readonly thing: T }[] = [];

  add(thing: T, at: number): void {
    thing.dueAt = at;
    const entry = { at, thing };
    let index = this.heap.length;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (this.atOf(parent) <= at) break;
      this.move(parent, index);
      index = parent;
    }
    this.heap[index] = entry;
  }

  /** The thing that is due first, if that is at or before `until`. */
  take(until: number): T | undefined {
    while (this.heap.length > 0 && this.atOf(0) <= until) {
      const first = this.removeFirst();
      if (first.thing.dueAt === first.at) {
        first.thing.dueAt = Number.POSITIVE_INFINITY;
        return first.thing;
      }
    }
    return undefined;
  }

  private removeFirst() {
    const first = this.heap[0] as { readonly at: number; readonly thing: T };
    const last = this.heap.pop() as { readonly at: number; readonly thing: T };
    const size = this.heap.length;
    if (size === 0) return first;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child + 1 < size && this.atOf(child + 1) < this.atOf(child)) child++;
      if (child >= size || this.atOf(child) >= last.at) break;
      this.move(child, index);
      index = child;
    }
    this.heap[index] = last;
    return first;
  }

  private atOf(index: number): number {
    return this.heap[index]?.at ?? Number.POSITIVE_INFINITY;
  }

  private move(from: number, to: number): void {
    const entry = this.heap[from];
    if (entry !== undefined) this.heap[to] = entry;
  }
}
