import { expect, test } from "bun:test";
import fc from "fast-check";
import { type SocketLimits, socketLimits } from "../../src/admission/socket-limits.ts";
import type { Account } from "../../src/base/account.ts";

/** A client that has no site: one of IPv4. */
const client = (key: string): readonly Account[] => [{ key, kind: "client" }];

/** Everybody behind an untrusted proxy. */
const shared = (key: string): readonly Account[] => [{ key, kind: "site" }];

/** An IPv6 client: a /64 of a /48. */
const ofSite = (key: string): readonly Account[] => [
  { key, kind: "client" },
  { key: "site", kind: "site" },
];

/** Opens as many as it may of `most`, and says how many those are. */
function openAll(limits: SocketLimits, accounts: readonly Account[], most = 10_000): number {
  let opened = 0;
  while (opened < most && limits.admits(accounts) === "ok") {
    limits.opened(accounts);
    opened++;
  }
  return opened;
}

test("a client opens as many as it may, and another one when one has closed", () => {
  const limits = socketLimits({ max: 100, perClient: 2 });
  expect(openAll(limits, client("a"))).toBe(2);
  expect(limits.admits(client("a"))).toBe("client_full");
  expect(limits.admits(client("b"))).toBe("ok");
  limits.closed(client("a"));
  expect(limits.admits(client("a"))).toBe("ok");
});

test("asking counts nothing", () => {
  const limits = socketLimits({ max: 1, perClient: 1 });
  for (let i = 0; i < 10; i++) expect(limits.admits(client("a"))).toBe("ok");
  expect(limits.clients()).toBe(0);
});

test("past the limit over all, nobody opens one, whoever it is", () => {
  const limits = socketLimits({ max: 2, perClient: 0 });
  limits.opened(client("a"));
  limits.opened(client("b"));
  for (const one of [client("a"), client("c"), shared("d")]) {
    expect(limits.admits(one)).toBe("full");
  }
  limits.closed(client("a"));
  expect(limits.admits(client("c"))).toBe("ok");
});

test("a client has at most 1/8 of all sockets, however many it may have by itself", () => {
  const limits = socketLimits({ max: 800, perClient: 1_000 });
  expect(openAll(limits, client("a"))).toBe(100);
  expect(limits.admits(client("a"))).toBe("client_full");
  expect(limits.admits(client("b"))).toBe("ok");
});

test("a site has at most half of all sockets, however many networks it has", () => {
  const limits = socketLimits({ max: 800, perClient: 1_000 });
  const opened = Array.from({ length: 20 }, (_, i) => openAll(limits, ofSite(`net ${i}`)));
  expect(opened).toEqual([100, 100, 100, 100, ...Array<number>(16).fill(0)]);
  expect(limits.admits(ofSite("another"))).toBe("client_full");
  expect(limits.admits(client("b"))).toBe("ok");
});

test("a site has 16 times what one client may have, where that is less than half of all", () => {
  const limits = socketLimits({ max: 10_000, perClient: 10 });
  for (let i = 0; i < 20; i++) openAll(limits, ofSite(`net ${i}`));
  expect(limits.size()).toBe(160);
});

test("everybody behind an unknown proxy is limited as a site is", () => {
  const limits = socketLimits({ max: 10_000, perClient: 10 });
  expect(openAll(limits, shared("a"))).toBe(160);
  expect(limits.admits(shared("a"))).toBe("client_full");
});

test("0 for each client is no limit for it, and no share", () => {
  const limits = socketLimits({ max: 10_000, perClient: 0 });
  expect(openAll(limits, ofSite("a"), 10_000)).toBe(10_000);
});

test("however few sockets there are, one client can have both sides of a room", () => {
  const limits = socketLimits({ max: 3, perClient: 1_000 });
  expect(openAll(limits, client("a"))).toBe(2);
  expect(openAll(limits, client("b"))).toBe(1);
});

test("clients without a socket are forgotten, in whatever order theirs close", () => {
  const opens = fc.array(fc.constantFrom("a", "b", "c", "d"), { maxLength: 50 });
  fc.assert(
    fc.property(opens, fc.infiniteStream(fc.nat()), (keys, picks) => {
      const limits = socketLimits({ max: 1_000, perClient: 5 });
      const open = [...keys];
      for (const key of open) limits.opened(ofSite(key));
      while (open.length > 0) {
        expect(limits.clients()).toBe(new Set(open).size);
        const [closed] = open.splice(Number(picks.next().value) % open.length, 1);
        limits.closed(ofSite(closed ?? ""));
      }
      expect(limits.clients()).toBe(0);
      expect(limits.size()).toBe(0);
      expect(limits.admits(ofSite("a"))).toBe("ok");
    }),
  );
});
