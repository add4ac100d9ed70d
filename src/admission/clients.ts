import type { Account } from "../base/account.ts";
import {
  type AddressSet,
  isPrivate,
  networkOf,
  parseAddress,
  parseAddressSet,
} from "../base/address.ts";

/** Why the client of a trusted proxy is not known. */
export const headerFaults = ["missing", "unreadable"] as const;
type HeaderFault = (typeof headerFaults)[number];

/** Who makes a request or opens a socket, as limits count it. */
export interface Client {
  /** Of a shared client: the last proxy that is known. */
  readonly address: string;
  /** The header that the address was taken from; undefined when it is the socket's own. */
  readonly header: string | undefined;
  /** All clients behind one proxy: the limits of one client would lock them all out. */
  readonly shared: boolean;
  /** Why it is shared, where the proxy is a trusted one. */
  readonly fault: HeaderFault | undefined;
  /** All names it is counted under, its own first, then wider and wider networks. Never empty. */
  readonly accounts: readonly Account[];
}

/** Addresses remembered as shared, of private networks only. Past this the oldest is forgotten. */
const maxShared = 1_024;

/** Recent socket addresses, of proxies and of clients that come back. */
const maxRecent = 256;

/** What proxies add to a request and clients do not: who sends it is a proxy. */
const proxyHeaders = ["x-real-ip", "x-forwarded-proto", "via"] as const;

/** The headers that name a client, the first that is there counts, and how each is read. */
const usualHeaders: readonly NamingHeader[] = [
  { header: "X-Forwarded-For", hopsOf: hopsOfXForwardedFor },
  { header: "Forwarded", hopsOf: hopsOfForwarded },
];

const isLoopback = parseAddressSet("loopback") ?? (() => false);

interface ClientRules {
  /** Proxies whose headers are believed. */
  readonly trusted: AddressSet;
  /** No header is believed, and no client counts as shared. */
  readonly ignoreHeaders: boolean;
  /** The one header of trusted proxies that names the client; empty: the usual two. */
  readonly clientIpHeader: string;
  /** Called once for each untrusted address that begins to count as shared, of the first 1,024. */
  readonly onShared: (address: string) => void;
}

/**
 * Finds out who the client is behind the proxies in front of this server. Those of a trusted proxy
 * that names no client, or an unreadable one, are shared: as one client, eleven wrong codes would lock
 * them all out. A loopback address is trusted without anybody's having said that it is a proxy, so
 * there another sign of a proxy is needed.
 */
export class Clients {
  private readonly namingHeaders: readonly NamingHeader[];
  private readonly shared = new Set<string>();
  private readonly recent = new Map<string, Seen>();
  private reportsShared = true;

  constructor(private readonly rules: ClientRules) {
    const own = rules.clientIpHeader.toLowerCase();
    const usual = usualHeaders.find(({ header }) => header.toLowerCase() === own);
    const ownHeader = usual ?? { header: own, hopsOf: hopsOfXForwardedFor };
    this.namingHeaders = own === "" ? usualHeaders : [ownHeader];
  }

  of(socketAddress: string, headers: Headers): Client {
    const seen = this.recent.get(socketAddress) ?? this.look(socketAddress);
    const { client, isTrusted, isPrivate } = seen;
    if (this.rules.ignoreHeaders) return client;
    if (isTrusted) return this.named(seen, headers);
    if (!isPrivate) return client;
    const { address } = client;
    if (!this.shared.has(address)) {
      if (this.forwardedBy(headers) === undefined) return client;
      this.share(address);
    }
    return sharedAt(address);
  }

  /** How many untrusted addresses count as shared. */
  sharedCount(): number {
    return this.shared.size;
  }

  private share(address: string): void {
    const { shared } = this;
    if (this.reportsShared) this.rules.onShared(address);
    shared.add(address);
    if (shared.size <= maxShared) return;
    shared.delete(shared.values().next().value ?? "");
    // One host of a private network can come from as many addresses as it likes.
    this.reportsShared = false;
  }

  private forwardedBy(headers: Headers): Forwarded | undefined {
    for (const { header, hopsOf } of this.namingHeaders) {
      const value = headers.get(header);
      if (value !== null) return { header, hops: hopsOf(value) };
    }
    return undefined;
  }

  private look(socketAddress: string): Seen {
    const address = parseAddress(socketAddress) ?? socketAddress;
    const seen = {
      client: clientAt(address),
      isTrusted: this.rules.trusted(address),
      isPrivate: isPrivate(address),
      isLocal: isLoopback(address),
    };
    if (this.recent.size >= maxRecent) this.recent.clear();
    this.recent.set(socketAddress, seen);
    return seen;
  }

  /** Whom a trusted proxy asks for. */
  private named({ client, isLocal }: Seen, headers: Headers): Client {
    const { trusted, clientIpHeader } = this.rules;
    const by = this.forwardedBy(headers);
    if (by !== undefined) return walk(client.address, by, trusted);
    const mayBeClient = isLocal && clientIpHeader === "";
    if (mayBeClient && !proxyHeaders.some((name) => headers.has(name))) return client;
    return sharedAt(client.address, undefined, "missing");
  }
}

/** What is known of a socket's address, without any header. */
interface Seen {
  readonly client: Client;
  readonly isTrusted: boolean;
  readonly isPrivate: boolean;
  readonly isLocal: boolean;
}

interface NamingHeader {
  readonly header: string;
  readonly hopsOf: (value: string) => Iterable<string | undefined>;
}

/** The header that names the client, and its hops, the nearest first. */
interface Forwarded {
  readonly header: string;
  readonly hops: Iterable<string | undefined>;
}

/** Trusted hops in a row that are followed; no chain of proxies is longer. */
const maxHops = 16;

/**
 * From the socket back over trusted hops: the first that is not trusted is the client, since what
 * stands left of it is only a claim. Where everybody is trusted it is the furthest, or the 16th. Clients
 * that a trusted hop does not name by an address are shared.
 */
function walk(socketAddress: string, { header, hops }: Forwarded, trusted: AddressSet): Client {
  let proxy = socketAddress;
  let walked = 0;
  for (const hop of hops) {
    if (hop === undefined) return sharedAt(proxy, header, "unreadable");
    if (!trusted(hop) || ++walked === maxHops) return clientAt(hop, header);
    proxy = hop;
  }
  return clientAt(proxy, header);
}

function clientAt(address: string, header?: string): Client {
  const accounts: Account[] = [{ key: networkOf(address, 64), kind: "client" }];
  if (address.includes(":")) {
    accounts.push({ key: networkOf(address, 56), kind: "customer" });
    accounts.push({ key: networkOf(address, 48), kind: "site" });
  }
  return { address, header, shared: false, fault: undefined, accounts };
}

/** Its name is another than that of a client which has the proxy's address. */
function sharedAt(address: string, header?: string, fault?: HeaderFault): Client {
  const accounts: Account[] = [{ key: `proxy:${address}`, kind: "shared" }];
  return { address, header, shared: true, fault, accounts };
}

/**
 * The hops that `X-Forwarded-For`, or a header like it, names, the nearest proxy's first; `undefined`
 * for one that is no address (hidden, malformed, or empty, as a proxy may append that does not know its
 * client): nothing to its left can be believed. Reads no further to the left than the caller asks: what
 * stands there is up to the client, and can be 16 KiB long.
 */
export function* hopsOfXForwardedFor(value: string): Generator<string | undefined> {
  for (let end = value.length; end >= 0; ) {
    const comma = end === 0 ? -1 : value.lastIndexOf(",", end - 1);
    yield parseHop(value.slice(comma + 1, end).trim());
    end = comma;
  }
}

/**
 * The hops that `Forwarded` names by `for=` (RFC 7239 section 4), the nearest proxy's first,
 * as far as the caller asks. Quotes are paired from the right: one that a client leaves open cannot
 * swallow what the next proxy appends.
 */
export function* hopsOfForwarded(value: string): Generator<string | undefined> {
  for (let end = value.length; end >= 0; ) {
    const { start, parts } = lastElement(value, end);
    const pair = parts.find((text) => /^for=/i.test(text));
    yield pair === undefined ? undefined : parseHop(pair.slice(4));
    end = start - 1;
  }
}

/**
 * An address as proxies write it: quoted or not, IPv6 in brackets or not (RFC 7239 section 6), with or
 * without a port. A port behind an IPv6 address without brackets is distinguished from a group where no address
 * ends like that: with five digits, or behind eight groups.
 */
function parseHop(text: string): string | undefined {
  if (text.length > maxHopLength) return undefined;
  const hop = text.startsWith('"') ? text.slice(1, -1).replace(/\\(.)/g, "$1") : text;
  const bracketed = /^\[([^\]]+)\](?::\w+)?$/.exec(hop)?.[1];
  return parseAddress(bracketed ?? hop) ?? parseAddress(hop.replace(/:(?:\d+|_\w+)$/, ""));
}

/** Quotes, brackets, an IPv6 address that ends like an IPv4 one (45 characters), a zone, a port. */
const maxHopLength = 80;

/** The element that ends before `end`: from the last comma outside quotes, cut at its semicolons. */
function lastElement(value: string, end: number): { start: number; parts: readonly string[] } {
  const parts: string[] = [];
  let quoted = false;
  let partEnd = end;
  let i = end - 1;
  for (; i >= 0; i--) {
    const character = value[i];
    if (character === '"' && !(quoted && isEscaped(value, i))) quoted = !quoted;
    if (quoted || (character !== "," && character !== ";")) continue;
    parts.push(value.slice(i + 1, partEnd).trim());
    partEnd = i;
    if (character === ",") return { start: i + 1, parts: parts.reverse() };
  }
  // A quote that nothing opens: none of this can be believed.
  if (quoted) return { start: 0, parts: [] };
  parts.push(value.slice(0, partEnd).trim());
  return { start: 0, parts: parts.reverse() };
}

/** Whether an odd number of backslashes stands before it (RFC 9110 section 5.6.4). */
function isEscaped(value: string, at: number): boolean {
  let first = at;
  while (value[first - 1] === "\\") first--;
  return (at - first) % 2 === 1;
}
