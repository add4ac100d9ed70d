import { expect, test } from "bun:test";
import fc from "fast-check";
import { isPrivate, networkOf, parseAddress, parseAddressSet } from "../../src/base/address.ts";

function setOf(list: string) {
  const set = parseAddressSet(list);
  if (set === undefined) throw new Error(`"${list}" was not understood`);
  return (text: string) => set(parseAddress(text) ?? text);
}

const ipv4 = fc.ipV4();
/** No dotted tails: see the failing test below. */
const ipv6 = fc.ipV6().filter((text) => !text.includes("."));
/** Eight groups, as numbers. */
const groups = fc.array(fc.oneof(fc.constant(0), fc.nat(0xffff)), { minLength: 8, maxLength: 8 });

function written(numbers: readonly number[]): string {
  return numbers.map((group) => group.toString(16)).join(":");
}

/** The bits of an address in the spelling of `parseAddress`. */
function bitsOf(address: string): string {
  const parts = address.includes(":")
    ? address.split(":").map((group) => Number.parseInt(group, 16).toString(2).padStart(16, "0"))
    : address.split(".").map((byte) => Number(byte).toString(2).padStart(8, "0"));
  return parts.join("");
}

test.each([
  ["192.0.2.7", "192.0.2.7"],
  ["::ffff:192.0.2.7", "192.0.2.7"],
  ["::FFFF:c000:0207", "192.0.2.7"],
  ["0:0:0:0:0:ffff:c000:207", "192.0.2.7"],
  ["::", "0:0:0:0:0:0:0:0"],
  ["::1", "0:0:0:0:0:0:0:1"],
  ["1::", "1:0:0:0:0:0:0:0"],
  ["2001:DB8::0:0a", "2001:db8:0:0:0:0:0:a"],
  ["::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"],
  ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"],
  ["64:ff9b::192.0.2.7", "64:ff9b:0:0:0:0:c000:207"],
  ["::192.0.2.7", "0:0:0:0:0:0:c000:207"],
  ["fe80::1%eth0", "fe80:0:0:0:0:0:0:1"],
])("%s is spelled %s", (text, spelled) => {
  expect(parseAddress(text)).toBe(spelled);
});

test.each([
  "",
  " ",
  "localhost",
  "1.2.3",
  "1.2.3.4.5",
  "1.2.3.256",
  "01.2.3.4",
  "0x1.2.3.4",
  "1.2.3.4 ",
  "1.2.3.4:80",
  "[::1]",
  "::1::",
  ":",
  "1:2:3:4:5:6:7",
  "1:2:3:4:5:6:7:8:9",
  "g::1",
  "10.0.0.0/8",
  "::ffff:1.2.3.4.5",
])('"%s" is no address', (text) => {
  expect(parseAddress(text)).toBeUndefined();
});

test("an IPv4 tail behind a gap is an address like any other", () => {
  // The URL parser that spells addresses out refuses these, and what it throws comes through.
  expect(parseAddress("1:2::3:4:192.0.2.7")).toBe("1:2:0:0:3:4:c000:207");
});

test("an address has one spelling, however it was written, and that is an address again", () => {
  fc.assert(
    fc.property(fc.oneof(ipv4, ipv6, groups.map(written)), (text) => {
      const address = parseAddress(text);
      expect(address).toBeDefined();
      expect(parseAddress(address ?? "")).toBe(address);
      expect(parseAddress(text.toUpperCase())).toBe(address);
    }),
  );
});

test("an IPv4 address and its mapped one are the same", () => {
  fc.assert(
    fc.property(ipv4, (text) => {
      expect(parseAddress(`::ffff:${text}`)).toBe(text);
    }),
  );
});

test("an IPv6 address counts by its first 64 or 48 bits, an IPv4 one by itself", () => {
  const address = parseAddress("2001:db8:1:2:3:4:5:6") ?? "";
  expect(networkOf(address, 64)).toBe("2001:db8:1:2::/64");
  expect(networkOf(address, 48)).toBe("2001:db8:1::/48");
  expect(networkOf("192.0.2.7", 64)).toBe("192.0.2.7");
});

test("two addresses count as one just when their networks' bits are equal", () => {
  const pair = fc.tuple(groups, fc.nat(128), fc.nat(0xffff)).map(([first, bit, other]) => {
    const second = first.with(Math.min(7, bit >> 4), other);
    return [parseAddress(written(first)) ?? "", parseAddress(written(second)) ?? ""] as const;
  });
  fc.assert(
    fc.property(pair, ([first, second]) => {
      fc.pre(first.includes(":") && second.includes(":"));
      for (const bits of [48, 64] as const) {
        const same = bitsOf(first).slice(0, bits) === bitsOf(second).slice(0, bits);
        expect(networkOf(first, bits) === networkOf(second, bits)).toBe(same);
      }
    }),
  );
});

test("a set holds its addresses and blocks, in both families, and nothing else", () => {
  const holds = setOf("192.0.2.7, 10.0.0.0/8, 2001:db8::/33, ::1");
  for (const text of [
    "192.0.2.7",
    "10.255.255.255",
    "::ffff:10.0.0.1",
    "2001:db8:7fff::1",
    "::1",
  ]) {
    expect([text, holds(text)]).toEqual([text, true]);
  }
  for (const text of [
    "192.0.2.8",
    "11.0.0.0",
    "2001:db8:8000::1",
    "::2",
    "::a00:1",
    "nonsense",
    "",
  ]) {
    expect([text, holds(text)]).toEqual([text, false]);
  }
});

test("a block holds what shares its first bits", () => {
  const address = fc.oneof(ipv4, groups.map(written)).map((text) => parseAddress(text) ?? "");
  const flip = fc.nat(127);
  fc.assert(
    fc.property(address, fc.nat(128), flip, (base, wished, flipped) => {
      const bits = bitsOf(base);
      const prefix = wished % (bits.length + 1);
      const at = flipped % bits.length;
      const other = addressOf(
        bits.slice(0, at) + (bits[at] === "1" ? "0" : "1") + bits.slice(at + 1),
      );
      // Into or out of the mapped addresses: another family.
      fc.pre(bitsOf(other).length === bits.length);
      const holds = setOf(`${base}/${prefix}`);
      expect(holds(base)).toBe(true);
      expect(holds(other)).toBe(at >= prefix);
    }),
    { numRuns: 300 },
  );
});

function addressOf(bits: string): string {
  const size = bits.length === 32 ? 8 : 16;
  const parts = bits.match(new RegExp(`.{${size}}`, "g")) ?? [];
  const numbers = parts.map((part) => Number.parseInt(part, 2));
  return parseAddress(size === 8 ? numbers.join(".") : written(numbers)) ?? "";
}

test("none, and nothing, hold nobody", () => {
  for (const list of ["none", "", " , "]) {
    expect(setOf(list)("127.0.0.1")).toBe(false);
    expect(setOf(list)("::1")).toBe(false);
  }
});

test("loopback and private are sets by name", () => {
  expect(setOf("loopback")("127.9.9.9")).toBe(true);
  expect(setOf("loopback")("::1")).toBe(true);
  expect(setOf("loopback")("10.0.0.1")).toBe(false);
  expect(setOf("private,203.0.113.1")("203.0.113.1")).toBe(true);
});

test.each([
  "127.0.0.1",
  "::1",
  "10.0.0.1",
  "172.16.0.1",
  "172.31.255.255",
  "192.168.1.1",
  "100.64.0.1",
  "169.254.1.1",
  "fc00::1",
  "fdff::1",
  "fe80::1",
])("%s is private", (text) => {
  expect(isPrivate(parseAddress(text) ?? "")).toBe(true);
});

test.each([
  "8.8.8.8",
  "172.15.255.255",
  "172.32.0.0",
  "192.167.255.255",
  "100.63.255.255",
  "100.128.0.0",
  "2001:db8::1",
  "fbff::1",
  "fec0::1",
  "::ffff:8.8.8.8",
])("%s is public", (text) => {
  expect(isPrivate(parseAddress(text) ?? "")).toBe(false);
});

test.each([
  "everyone",
  "10.0.0.0/33",
  "10.0.0.0/-1",
  "10.0.0.0/",
  "10.0.0.0/8/8",
  "10.0.0/8",
  "::/129",
  "10.0.0.1,nonsense",
  "1.2.3.4-1.2.3.9",
])('"%s" names no set', (list) => {
  expect(parseAddressSet(list)).toBeUndefined();
});
