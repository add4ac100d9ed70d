import { type Account, shareOf } from "../../base/account.ts";
import { entryCostBytes, type NoSpace } from "../engine.ts";

/** How much of something that all share each account has. One that has nothing takes no space here. */
export class Shares {
  private readonly byAccount = new Map<string, number>();

  /** `max`: how much of it there is for all together. */
  constructor(private readonly max: number) {}

  /** Whether none of the accounts would go past its share. */
  allow(amount: number, accounts: readonly Account[]): boolean {
    return accounts.every((account) => this.of(account) + amount <= shareOf(account, this.max));
  }

  /** Takes, be it past a share. Below 0: gives back. */
  take(amount: number, accounts: readonly Account[]): void {
    for (const account of accounts) {
      const left = this.of(account) + amount;
      if (left > 0) this.byAccount.set(account.key, left);
      else this.byAccount.delete(account.key);
    }
  }

  private of({ key }: Account): number {
    return this.byAccount.get(key) ?? 0;
  }
}

/** What bytes are taken for. */
export type Purpose = "mail" | "held" | "ids";

/** One bound over all that rooms hold for their sides, of which each account has its share. */
export class Budget {
  readonly used: Record<Purpose, number> = { mail: 0, held: 0, ids: 0 };
  private readonly shares: Shares;

  constructor(private readonly maxBytes: number) {
    this.shares = new Shares(maxBytes);
  }

  /** Which bound stands against so many bytes more. */
  against(bytes: number, accounts: readonly Account[]): NoSpace["outcome"] | undefined {
    const { mail, held, ids } = this.used;
    if (mail + held + ids + bytes > this.maxBytes) return "full";
    return this.shares.allow(bytes, accounts) ? undefined : "share_full";
  }

  /** Takes, be it past a bound. Below 0: gives back. */
  take(purpose: Purpose, bytes: number, accounts: readonly Account[]): void {
    this.used[purpose] += bytes;
    this.shares.take(bytes, accounts);
  }
}

/**
 * What a kept text counts: its bytes and a fixed cost. The runtime keeps one byte a character where
 * all are Latin-1, else two. It does not say which it did, so what is not all ASCII counts two.
 */
export function costOf(text: string, utf8Bytes: number = Buffer.byteLength(text)): number {
  return entryCostBytes + (utf8Bytes === text.length ? utf8Bytes : text.length * 2);
}
