/** One bound over all the bytes that rooms hold for their sides: mail and held frames. */
export class Budget {
  used = 0;

  constructor(private readonly maxBytes: number) {}

  /** False, and nothing is taken, when it would go past the bound. */
  take(bytes: number): boolean {
    if (this.used + bytes > this.maxBytes) return false;
    this.used += bytes;
    return true;
  }

  /** Takes what is there already, be it past the bound. */
  force(bytes: number): void {
    this.used += bytes;
  }

  give(bytes: number): void {
    this.used -= bytes;
  }
}
