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

/** The sender of a request or socket, as limits count it. */
export interface Client {
  /** Its address. For a shared client: the address of the last known proxy. */
  readonly address: string;
  /** The header that named the address; undefined if it is the socket's own address. */
  readonly header: string | undefined;
  /** It stands for all clients behind one proxy. The limits of one client would lock them all out. */
  readonly shared: boolean;
  /** Why it is shared, if the proxy is trusted. */
  readonly fault: HeaderFault | undefined;
  /** The accounts it counts towards: its own first, then those of ever wider networks. Never empty. */
  readonly accounts: readonly Account[];
}

/** Most addresses remembered as shared, only of private networks. Beyond this the oldest is forgotten. */
const maxShared = 1_024;

/** Most recent socket addresses that are cached. */
const maxRecent = 256;

/** Headers that only proxies add to a request. */
const proxyHeaders = ["x-real-ip", "x-forwarded-proto", "via"] as const;

/** The headers that name a client, and their parsers. The first header that is present counts. */
const usualHeaders: readonly NamingHeader[] = [
  { header: "X-Forwarded-For", hopsOf: hopsOfXForwardedFor },
  { header: "Forwarded", hopsOf: hopsOfForwarded },
];

const isLoopback = parseAddressSet("loopback") ?? (() => false);

interface ClientRules {
  /** Proxies whose headers are trusted. */
  readonly trusted: AddressSet;
  /** Ignores all headers. Then no client counts as shared. */
  readonly ignoreHeaders: boolean;
  /** The one header of trusted proxies that names the client; empty: the usual two. */
  readonly clientIpHeader: string;
  /** Called once for each untrusted address that starts to count as shared, for at most 1,024 addresses. */
  readonly onShared: (address: string) => void;
}

/**
 * Finds the client behind the proxies in front of this server. If a trusted proxy names no client, or an
 * unreadable one, all its clients are one shared client: with the limits of a single client, eleven wrong
 * codes would lock them all out. A loopback address is trusted by default, although it may not be a proxy.
 * So it also has to send a proxy's header.
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
    // One host of a private network can use any number of addresses.
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

/** What a socket's address shows, without any header. */
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

/** At most this many trusted hops are followed. Real chains of proxies are shorter. */
const maxHops = 16;

/**
 * Follows the hops from the socket back. The first untrusted hop is the client, since it can claim anything
 * about hops before it. If all hops are trusted, the client is the furthest, or the 16th. If a trusted hop
 * does not name an address, its clients are shared.
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
 * The hops in `X-Forwarded-For` or a similar header, starting with the nearest proxy's. `undefined` for a hop
 * without an address: it is hidden, malformed, or empty, as a proxy may write if it does not know its
 * client. Nothing to its left can be trusted. Reads only as many hops as the caller asks for: the client
 * controls the left part, which can be 16 KiB long.
 */
export function* hopsOfXForwardedFor(value: string): Generator<string | undefined> {
  for (let end = value.length; end >= 0; ) {
    const comma = end === 0 ? -1 : value.lastIndexOf(",", end - 1);
    yield parseHop(value.slice(comma + 1, end).trim());
    end = comma;
  }
}

/**
 * The hops in `for=` of `Forwarded` (RFC 7239 section 4), starting with the nearest proxy's. Reads only as many
 * as the caller asks for. Quotes are paired from the right, so that an open quote of a client cannot include
 * the text that the next proxy appends.
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
  // The quote is never opened: nothing of this can be trusted.
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
