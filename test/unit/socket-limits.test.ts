import { expect, test } from "bun:test";
import fc from "fast-check";
import { socketLimits } from "../../src/admission/socket-limits.ts";
import { someClient } from "../support/some-client.ts";

test("a client opens as many as it may, and another one when one has closed", () => {
  const limits = socketLimits({ max: 100, perClient: 2 });
  for (let i = 0; i < 2; i++) {
    expect(limits.admits(someClient("a"))).toBe("ok");
    limits.opened("a");
  }
  expect(limits.admits(someClient("a"))).toBe("client_full");
  expect(limits.admits(someClient("b"))).toBe("ok");
  limits.closed("a");
  expect(limits.admits(someClient("a"))).toBe("ok");
});

test("asking counts nothing", () => {
  const limits = socketLimits({ max: 1, perClient: 1 });
  for (let i = 0; i < 10; i++) expect(limits.admits(someClient("a"))).toBe("ok");
  expect(limits.clients()).toBe(0);
});

test("past the limit over all, nobody opens one, whoever it is", () => {
  const limits = socketLimits({ max: 2, perClient: 0 });
  limits.opened("a");
  limits.opened("b");
  for (const one of [someClient("a"), someClient("c"), someClient("d", true)]) {
    expect(limits.admits(one)).toBe("full");
  }
  limits.closed("a");
  expect(limits.admits(someClient("c"))).toBe("ok");
});

test("0 for each client is no limit for it", () => {
  const limits = socketLimits({ max: 1_000_000, perClient: 0 });
  for (let i = 0; i < 100_000; i++) limits.opened("a");
  expect(limits.admits(someClient("a"))).toBe("ok");
});

test("everybody behind an unknown proxy is not limited as one", () => {
  const limits = socketLimits({ max: 100, perClient: 1 });
  for (let i = 0; i < 10; i++) limits.opened("a");
  expect(limits.admits(someClient("a", true))).toBe("ok");
  expect(limits.admits(someClient("a"))).toBe("client_full");
});

test("clients without a socket are forgotten, in whatever order theirs close", () => {
  const opens = fc.array(fc.constantFrom("a", "b", "c", "d"), { maxLength: 50 });
  fc.assert(
    fc.property(opens, fc.infiniteStream(fc.nat()), (keys, picks) => {
      const limits = socketLimits({ max: 1_000, perClient: 5 });
      const open = [...keys];
      for (const key of open) limits.opened(key);
      while (open.length > 0) {
        expect(limits.clients()).toBe(new Set(open).size);
        const [closed] = open.splice(Number(picks.next().value) % open.length, 1);
        limits.closed(closed ?? "");
      }
      expect(limits.clients()).toBe(0);
      expect(limits.admits(someClient("a"))).toBe("ok");
    }),
  );
});
