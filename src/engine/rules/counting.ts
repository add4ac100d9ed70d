import { type Account, shareOf } from "../../base/account.ts";
import type { NoSpace } from "../engine.ts";
import { byteLength, utf16Length } from "./text.ts";
import { entryCostBytes, type Shared, type Turn } from "./turn.ts";

/**
 * The bytes that a stored text counts: its own and a fixed cost. The runtime stores 1 byte per character
 * if all are Latin-1, otherwise 2. It does not show which, so text that is not all ASCII counts 2 bytes
 * per character.
 */
export function costOf(text: string, bytes: number = byteLength(text)): number {
  const units = utf16Length(text);
  return entryCostBytes + (bytes === units ? bytes : units * 2);
}

/** The bound on all rooms that refuses `bytes` more for these accounts; undefined when they fit. */
export function againstBytes(
  turn: Turn,
  bytes: number,
  accounts: readonly Account[],
): NoSpace["outcome"] | undefined {
  const max = turn.limits.mailTotalBytes;
  const used = turn.counted("mailBytes") + turn.counted("heldBytes") + turn.counted("idBytes");
  if (used + bytes > max) return "full";
  return isPastShare(turn, "bytes", bytes, accounts, max) ? "share_full" : undefined;
}

/** Whether `more` would take one of the accounts past its share of `max`. */
export function isPastShare(
  turn: Turn,
  what: Shared,
  more: number,
  accounts: readonly Account[],
  max: number,
): boolean {
  for (const account of accounts) {
    if (turn.charged(what, account) + more > shareOf(account, max)) return true;
  }
  return false;
}
