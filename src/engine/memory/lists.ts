import type { IdMemory, List } from "../rules/turn.ts";

/** A list that is filled at its end and emptied from its head. */
export class MemoryList<T> implements List<T> {
  private items: (T | undefined)[] = [];
  /** Index of the first item. Those before it were dropped. */
  private head = 0;

  push(item: T): void {
    this.items.push(item);
  }

  slice(from: number, count: number): readonly T[] {
    const start = this.head + from;
    return this.items.slice(start, start + count) as T[];
  }

  drop(count: number): void {
    const end = Math.min(this.head + count, this.items.length);
    while (this.head < end) this.items[this.head++] = undefined;
    if (this.head <= 32 || this.head * 2 <= this.items.length) return;
    this.items = this.items.slice(this.head);
    this.head = 0;
  }

  get size(): number {
    return this.items.length - this.head;
  }

  /** Fast for the first item, which is the usual case. */
  remove(item: T): void {
    const index = this.items.indexOf(item, this.head);
    if (index === this.head) this.drop(1);
    else if (index > this.head) this.items.splice(index, 1);
  }

  replace(items: readonly T[]): void {
    this.items = [...items];
    this.head = 0;
  }

  all(): readonly T[] {
    return this.slice(0, this.items.length);
  }
}

export class MemoryIds implements IdMemory {
  private readonly seqs = new Map<string, number>();

  seqOf(id: string): number | undefined {
    return this.seqs.get(id);
  }

  put(id: string, seq: number): void {
    this.seqs.set(id, seq);
  }

  dropOldest(): string {
    const [oldest = ""] = this.seqs.keys();
    this.seqs.delete(oldest);
    return oldest;
  }

  clear(): void {
    this.seqs.clear();
  }

  all(): readonly (readonly [id: string, seq: number])[] {
    return [...this.seqs];
  }
}
