export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Of at least one value. */
export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (index: number) => sorted[index] ?? Number.NaN;
  const half = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? at(half) : (at(half - 1) + at(half)) / 2;
  return { median, min: at(0), max: at(sorted.length - 1) };
}

/** Keeps so many durations and no more; later ones are left out. */
export class Latencies {
  private readonly kept: Float64Array;
  private count = 0;

  constructor(most: number) {
    this.kept = new Float64Array(most);
  }

  add(value: number): void {
    if (this.count < this.kept.length) this.kept[this.count++] = value;
  }

  clear(): void {
    this.count = 0;
  }

  get size(): number {
    return this.count;
  }

  /** The value below which this share of all lies; NaN of none. */
  quantile(share: number): number {
    const sorted = this.kept.subarray(0, this.count).toSorted();
    return sorted[Math.min(this.count - 1, Math.floor(share * this.count))] ?? Number.NaN;
  }
}
