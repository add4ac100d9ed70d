import type { Account } from "../base/account.ts";
import { type AddressSet, isPrivate, networkOf, parseAddress } from "../base/address.ts";
import { hopsOfForwarded, hopsOfXForwardedFor } from "./forwarded.ts";

/** Who asks, as far as limits are concerned. */
export interface Client {
  /** Under which name it is counted: an IPv4 address, or the /64 of an IPv6 one. */
  readonly key: string;
  /** The /48 of an IPv6 address: what a whole site counts as. Undefined for IPv4. */
  readonly site: string | undefined;
  readonly address: string;
  /** The header that told the address; undefined when it is the socket's own. */
  readonly header: string | undefined;
  /** Everybody behind a proxy that is not trusted: limits for one client would lock out all. */
  readonly shared: boolean;
  /** Under which names it is counted, its own first. Never empty. */
  readonly accounts: readonly Account[];
}

export interface ClientsOptions {
  /** Proxies whose headers are believed. */
  readonly trusted: AddressSet;
  /** No header is believed, and nobody ever counts as shared. */
  readonly ignoreHeaders: boolean;
  /** The one header that trusted proxies tell the client's address in; empty: the usual two. */
  readonly clientIpHeader: string;
  /** Told once for each address that begins to count as shared, of the first 1,024. */
  readonly onShared: (address: string) => void;
}

export interface Clients {
  of(socketAddress: string, headers: Headers): Client;
  /** How many addresses count as shared. */
  sharedCount(): number;
}

/** Addresses remembered as shared. They are of private networks only; past this the oldest goes. */
const maxShared = 1_024;

/** Addresses looked at of late: proxies, and clients that mint, connect and come back. */
const maxRecent = 256;

/** Finds out who the client is behind the proxies in front of this server. */
export function clients(options: ClientsOptions): Clients {
  const { trusted, ignoreHeaders, onShared } = options;
  const ownHeader = options.clientIpHeader.toLowerCase();
  const shared = new Set<string>();
  const recent = new Map<string, Seen>();
  let tellsOfShared = true;

  function share(address: string): void {
    if (tellsOfShared) onShared(address);
    shared.add(address);
    if (shared.size <= maxShared) return;
    shared.delete(shared.values().next().value ?? "");
    // One host of a private network can come from as many addresses as it likes.
    tellsOfShared = false;
  }

  /** The header in which a proxy tells who asked, and its hops, the nearest first. */
  function told(headers: Headers): Told | undefined {
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
    of(socketAddress, headers) {
      const { client, isTrusted, isPrivate } = recent.get(socketAddress) ?? look(socketAddress);
      if (ignoreHeaders) return client;
      const { address } = client;
      if (isTrusted) {
        const behind = told(headers);
        if (behind === undefined) return client;
        return clientAt(walk(address, behind.hops, trusted), behind.header, false);
      }
      if (!isPrivate) return client;
      if (!shared.has(address)) {
        if (told(headers) === undefined) return client;
        share(address);
      }
      return clientAt(address, undefined, true);
    },
    sharedCount: () => shared.size,
  };
}

/** What an address on a socket is, whoever else the headers tell of. */
interface Seen {
  readonly client: Client;
  readonly isTrusted: boolean;
  readonly isPrivate: boolean;
}

interface Told {
  readonly header: string;
  readonly hops: Iterable<string | undefined>;
}

/** Trusted hops behind each other that are looked at; no chain of proxies is as long. */
const maxHops = 16;

/**
 * From the socket back over trusted hops: the first that is not trusted is the client, since what
 * stands left of it is only its word. A hop that is no address ends the walk at the one before it,
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
