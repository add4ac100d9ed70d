import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Account } from "../../src/base/account.ts";
import { Ledger } from "../../src/base/ledger.ts";

/** A /64 of a /48. */
const ofSite = (key: string): readonly Account[] => [
  { key, kind: "client" },
  { key: "site", kind: "site" },
];

/** Uses as much as it may, and says how much that is. */
function useAll(ledger: Ledger, accounts: readonly Account[]): number {
  let used = 0;
  for (; ledger.bound(accounts, 1) === undefined; used++) ledger.add(accounts, 1);
  return used;
}

test.each([
  ["an eighth of all", new Ledger(800), [100, 100, 100, 100, 0]],
  ["its own limit, where that is less", new Ledger(800, 2, 10), [10, 10, 10, 10, 10]],
  ["the least share, where an eighth is less", new Ledger(20, 4), [4, 4, 2, 0, 0]],
  ["all, where there are no shares", new Ledger(20, Number.POSITIVE_INFINITY), [20, 0, 0, 0, 0]],
])("a client may use %s, and its site no more than half", (_, ledger, expected) => {
  expect(expected.map((_, i) => useAll(ledger, ofSite(`net ${i}`)))).toEqual(expected);
});

test("who has nothing is forgotten, in whatever order it is given back", () => {
  const uses = fc.array(fc.constantFrom("a", "b", "c", "d"), { maxLength: 50 });
  fc.assert(
    fc.property(uses, fc.infiniteStream(fc.nat()), (keys, picks) => {
      const ledger = new Ledger(1_000);
      const open = [...keys];
      for (const key of open) ledger.add(ofSite(key), 1);
      while (open.length > 0) {
        expect([ledger.clients, ledger.used]).toEqual([new Set(open).size, open.length]);
        const [closed] = open.splice(Number(picks.next().value) % open.length, 1);
        ledger.add(ofSite(closed ?? ""), -1);
      }
      expect([ledger.clients, ledger.used]).toEqual([0, 0]);
    }),
  );
});
