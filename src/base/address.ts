import { BlockList, isIP } from "node:net";

/**
 * An IP address in one spelling: IPv4 as it is, IPv6 as its eight groups without leading zeros, an
 * IPv4-mapped one (RFC 4291 section 2.5.5.2) as IPv4, zones dropped. Undefined for anything else.
 */
export function parseAddress(text: string): string | undefined {
  // A copy: a part of a header keeps all 16 KB of it alive, as long as the connection.
  if (isIP(text) === 4) return Buffer.from(text).toString();
  if (isIP(text) !== 6) return undefined;
  const groups = groupsOf(text.replace(/%.*$/, ""));
  if (groups.slice(0, 5).every((group) => group === "0") && groups[5] === "ffff") {
    const [high = 0, low = 0] = groups.slice(6).map((group) => Number.parseInt(group, 16));
    return [high >> 8, high & 255, low >> 8, low & 255].join(".");
  }
  return groups.join(":");
}

/** The eight groups of a valid IPv6 address. The URL parser knows all of its spellings. */
function groupsOf(address: string): readonly string[] {
  const compact = new URL(`http://[${withoutDots(address)}]`).hostname.slice(1, -1);
  const [head = "", tail] = compact.split("::");
  const left = head === "" ? [] : head.split(":");
  if (tail === undefined) return left;
  const right = tail === "" ? [] : tail.split(":");
  return [...left, ...new Array<string>(8 - left.length - right.length).fill("0"), ...right];
}

/** A tail in IPv4's spelling as two groups: the URL parser refuses some that are valid. */
function withoutDots(address: string): string {
  const [tail, ...bytes] = /(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address) ?? [];
  if (tail === undefined) return address;
  const [a = 0, b = 0, c = 0, d = 0] = bytes.map(Number);
  const groups = `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
  return address.slice(0, -tail.length) + groups;
}

/**
 * The network an address counts as: an IPv4 address by itself, an IPv6 one by its first `bits`.
 * Takes what `parseAddress` gives.
 */
export function networkOf(address: string, bits: 48 | 56 | 64): string {
  if (!address.includes(":")) return address;
  const groups = address.split(":", Math.ceil(bits / 16));
  if (bits === 56) groups[3] = (Number.parseInt(groups[3] ?? "", 16) & 0xff00).toString(16);
  return `${groups.join(":")}::/${bits}`;
}

const loopback = ["127.0.0.0/8", "::1/128"];
/** Names for sets of addresses, for people who configure. */
const named = {
  loopback,
  private: [
    ...loopback,
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
  ],
};

export type AddressSet = (address: string) => boolean;

/**
 * The set that a comma-separated list names: `loopback`, `private`, addresses, CIDR blocks; `none`
 * is empty. Undefined when an entry is something else.
 */
export function parseAddressSet(list: string): AddressSet | undefined {
  const blocks = new BlockList();
  for (const entry of list.split(",").map((text) => text.trim())) {
    if (entry === "none" || entry === "") continue;
    const cidrs = entry === "loopback" || entry === "private" ? named[entry] : [entry];
    for (const cidr of cidrs) if (!addBlock(blocks, cidr)) return undefined;
  }
  return (address) => blocks.check(address, familyOf(address));
}

/** RFC 1918, RFC 4193, RFC 6598, link-local and loopback addresses: many clients may share one. */
export const isPrivate: AddressSet = parseAddressSet("private") ?? (() => false);

/** 127.0.0.0/8 and ::1. */
export const isLoopbackAddress: AddressSet = parseAddressSet("loopback") ?? (() => false);

function familyOf(address: string): "ipv4" | "ipv6" {
  return address.includes(":") ? "ipv6" : "ipv4";
}

function addBlock(blocks: BlockList, cidr: string): boolean {
  const [base = "", bits, more] = cidr.split("/");
  const address = parseAddress(base);
  if (address === undefined || more !== undefined) return false;
  const family = familyOf(address);
  const widest = family === "ipv6" ? 128 : 32;
  if (bits !== undefined && !/^\d{1,3}$/.test(bits)) return false;
  const prefix = bits === undefined ? widest : Number(bits);
  if (prefix > widest) return false;
  blocks.addSubnet(address, prefix, family);
  return true;
}
