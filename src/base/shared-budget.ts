import { type Account, shareOf } from "./account.ts";

/** How much of one thing all clients use together, and how much each account uses. */
export class SharedBudget {
  /** By all together. */
  used = 0;
  private readonly usedBy = new Map<string, number>();

  constructor(
    /** For all together. */
    readonly most: number,
    /** No account's share is smaller. Infinity: accounts have no limit. */
    private readonly leastShare: number,
  ) {}

  /** Adds to what a client of these accounts uses, without checking; a negative amount releases. */
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
