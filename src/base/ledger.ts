import { type Account, limitOf, shareOf } from "./account.ts";

/** How much of one thing is used, in all and by each account, and how much each may use. */
export class Ledger {
  /** In all. */
  used = 0;
  /** Clients that use some of it. */
  clients = 0;
  private readonly usedBy = new Map<string, number>();

  constructor(
    /** What there is for all. An account may use its share of it (account.ts). */
    readonly most: number,
    /** The lowest share of an account. Infinity: accounts have no shares. */
    private readonly leastShare = 1,
    /** One client may use no more than this, however large its share is; a site 16 times as much. */
    private readonly perClient = Number.POSITIVE_INFINITY,
  ) {}

  get hasShares(): boolean {
    return this.leastShare < Number.POSITIVE_INFINITY;
  }

  /** Adds to what a client uses; a negative amount releases. Never refuses. */
  add(accounts: readonly Account[], amount: number): void {
    this.used += amount;
    for (const account of accounts) {
      const before = this.of(account);
      const used = before + amount;
      if (used > 0) this.usedBy.set(account.key, used);
      else this.usedBy.delete(account.key);
      if (account === accounts[0]) this.clients += Number(used > 0) - Number(before > 0);
    }
  }

  /** The first of a client's accounts that may not use this much more. */
  full(accounts: readonly Account[], more: number): Account | undefined {
    return accounts.find((account) => this.of(account) + more > this.mostOf(account));
  }

  /** Which bound a client would exceed with this much more. 0 asks whether it exceeds one now. */
  bound(accounts: readonly Account[], more: number): "client" | "all" | undefined {
    if (this.full(accounts, more) !== undefined) return "client";
    return this.used + more > this.most ? "all" : undefined;
  }

  /** Which part of its limit an account uses: 1 is all. */
  partUsed(account: Account): number {
    return this.of(account) / this.mostOf(account);
  }

  private of({ key }: Account): number {
    return this.usedBy.get(key) ?? 0;
  }

  private mostOf(account: Account): number {
    const share = Math.max(this.leastShare, shareOf(account, this.most));
    return Math.min(share, limitOf(account, this.perClient));
  }
}
