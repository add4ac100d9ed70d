import type { Account } from "../base/account.ts";
import { type AddressSet, isPrivate, networkOf, parseAddress } from "../base/address.ts";

/** Who makes a request or opens a socket, as limits count it. */
export interface Client {
  /** The name it is counted under: an IPv4 address, or the /64 of an IPv6 one. */
  readonly key: string;
  /** The /48 of an IPv6 address: what a whole site counts as. Undefined for IPv4. */
  readonly site: string | undefined;
  readonly address: string;
  /** The header that the address was taken from; undefined when it is the socket's own. */
  readonly header: string | undefined;
  /** All clients behind an untrusted proxy: the limits of one client would lock them all out. */
  readonly shared: boolean;
  /** All names it is counted under, its own first. Never empty. */
  readonly accounts: readonly Account[];
}

/** Addresses remembered as shared. They are of private networks only; past this the oldest goes. */
const maxShared = 1_024;

/** Recent socket addresses, of proxies and of clients that come back. */
const maxRecent = 256;

/** Finds out who the client is behind the proxies in front of this server. */
export function clients({
  trusted,
  ignoreHeaders,
  clientIpHeader,
  onShared,
}: {
  /** Proxies whose headers are believed. */
  readonly trusted: AddressSet;
  /** No header is believed, and no client counts as shared. */
  readonly ignoreHeaders: boolean;
  /** The one header of trusted proxies that names the client; empty: the usual two. */
  readonly clientIpHeader: string;
  /** Called once for each address that begins to count as shared, of the first 1,024. */
  readonly onShared: (address: string) => void;
}) {
  const ownHeader = clientIpHeader.toLowerCase();
  const shared = new Set<string>();
  const recent = new Map<string, Seen>();
  let reportsShared = true;

  function share(address: string): void {
    if (reportsShared) onShared(address);
    shared.add(address);
    if (shared.size <= maxShared) return;
    shared.delete(shared.values().next().value ?? "");
    // One host of a private network can come from as many addresses as it likes.
    reportsShared = false;
  }

  /** The header that names the client, and its hops, the nearest first. */
  function forwardedBy(headers: Headers): Forwarded | undefined {
    if (ownHeader !== "" && ownHeader !== "forwarded" && ownHeader !== "x-forwarded-for") {
      const value = headers.get(ownHeader);
      return value === null ? undefined : { header: ownHeader, hops: [parseAddress(value.trim())] };
    }
    const xForwardedFor = ownHeader === "forwarded" ? null : headers.get("x-forwarded-for");
    if (xForwardedFor !== null) {
      return { header: "X-Forwarded-For", hops: hopsOfXForwardedFor(xForwardedFor) };
    }
    const forwarded = ownHeader === "x-forwarded-for" ? null : headers.get("forwarded");
    if (forwarded === null) return undefined;
    return { header: "Forwarded", hops: hopsOfForwarded(forwarded) };
  }

  function look(socketAddress: string): Seen {
    const address = parseAddress(socketAddress) ?? socketAddress;
    const seen = {
      client: clientAt(address, undefined, false),
      isTrusted: trusted(address),
      isPrivate: isPrivate(address),
    };
    if (recent.size >= maxRecent) recent.clear();
    recent.set(socketAddress, seen);
    return seen;
  }

  return {
    of(socketAddress: string, headers: Headers): Client {
      const { client, isTrusted, isPrivate } = recent.get(socketAddress) ?? look(socketAddress);
      if (ignoreHeaders) return client;
      const { address } = client;
      if (isTrusted) {
        const behind = forwardedBy(headers);
        if (behind === undefined) return client;
        return clientAt(walk(address, behind.hops, trusted), behind.header, false);
      }
      if (!isPrivate) return client;
      if (!shared.has(address)) {
        if (forwardedBy(headers) === undefined) return client;
        share(address);
      }
      return clientAt(address, undefined, true);
    },
    /** How many addresses count as shared. */
    sharedCount: () => shared.size,
  };
}

/** What is known of a socket's address, without any header. */
interface Seen {
  readonly client: Client;
  readonly isTrusted: boolean;
  readonly isPrivate: boolean;
}

interface Forwarded {
  readonly header: string;
  readonly hops: Iterable<string | undefined>;
}

/** Trusted hops in a row that are followed; no chain of proxies is as long. */
const maxHops = 16;

/**
 * From the socket back over trusted hops: the first that is not trusted is the client, since what
 * stands left of it is only a claim. A hop that is no address ends the walk at the one before it,
 * and so does the 16th.
 */
function walk(
  socketAddress: string,
  hops: Iterable<string | undefined>,
  trusted: AddressSet,
): string {
  let client = socketAddress;
  let walked = 0;
  for (const hop of hops) {
    if (hop === undefined) return client;
    client = hop;
    if (!trusted(client) || ++walked === maxHops) return client;
  }
  return client;
}

function clientAt(address: string, header: string | undefined, isShared: boolean): Client {
  const key = networkOf(address, 64);
  const site = address.includes(":") ? networkOf(address, 48) : undefined;
  const accounts: Account[] = [{ key, isSite: isShared }];
  if (site !== undefined) accounts.push({ key: site, isSite: true });
  return { key, site, address, header, shared: isShared, accounts };
}

/**
 * The hops that `X-Forwarded-For` names, the nearest proxy's first; `undefined` where one is no
 * address (a hidden or malformed one: nothing to its left can be believed). Reads no further to the
 * left than the caller asks: what stands there is up to the client, and can be 16 KiB long.
 */
export function* hopsOfXForwardedFor(value: string): Generator<string | undefined> {
  for (let end = value.length; end >= 0; ) {
    const comma = lastComma(value, end);
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
    yield pair === undefined ? undefined : parseHop(unquote(pair.slice(4)));
    end = start - 1;
  }
}

/** An address with or without a port, IPv6 in brackets where there is one (RFC 7239 section 6). */
function parseHop(text: string): string | undefined {
  if (text.length > maxHopLength) return undefined;
  const bracketed = /^\[([^\]]+)\](?::\d+)?$/.exec(text)?.[1];
  if (bracketed !== undefined) return parseAddress(bracketed);
  const ipv4 = /^([\d.]+):\d+$/.exec(text)?.[1];
  return parseAddress(ipv4 ?? text);
}

/** `[`, an IPv6 address that ends like an IPv4 one (45 characters), `]:`, a port. */
const maxHopLength = 64;

/** Where the comma before `end` stands; -1 where there is none. */
function lastComma(value: string, end: number): number {
  return end === 0 ? -1 : value.lastIndexOf(",", end - 1);
}

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

function unquote(text: string): string {
  return text.startsWith('"') ? text.slice(1, -1).replace(/\\(.)/g, "$1") : text;
}
