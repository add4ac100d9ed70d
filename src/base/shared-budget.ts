import { type Account, shareOf } from "./account.ts";

/** What all clients use of one thing together, and each account of it. */
export class SharedBudget {
  /** In all. */
  used = 0;
  private readonly usedBy = new Map<string, number>();

  constructor(
    /** What there is for all. */
    readonly most: number,
    /** No account's share is less. Infinite where accounts have none. */
    private readonly leastShare: number,
  ) {}

  /** Counts more, or less, of what a client of these accounts uses. Refuses nothing. */
  add(accounts: readonly Account[], amount: number): void {
    this.used += amount;
    for (const { key } of accounts) {
      const used = (this.usedBy.get(key) ?? 0) + amount;
      if (used > 0) this.usedBy.set(key, used);
      else this.usedBy.delete(key);
    }
  }

  /** The first of these accounts that uses more than its share. */
  overdrawn(accounts: readonly Account[]): Account | undefined {
    for (const account of accounts) {
      const share = Math.max(this.leastShare, shareOf(account, this.most));
      if ((this.usedBy.get(account.key) ?? 0) > share) return account;
    }
    return undefined;
  }
}
