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
}

export interface ClientsOptions {
  /** Proxies whose headers are believed. */
  readonly trusted: AddressSet;
  /** No header is believed, and nobody ever counts as shared. */
  readonly ignoreHeaders: boolean;
  /** The one header that trusted proxies tell the client's address in; empty: the usual two. */
  readonly clientIpHeader: string;
  /** Told once for each address that begins to count as shared. */
  readonly onShared: (address: string) => void;
}

export interface Clients {
  of(socketAddress: string, headers: Headers): Client;
  /** How many addresses count as shared. */
  sharedCount(): number;
}

/** Addresses remembered as shared. They are of private networks only; past this the oldest goes. */
const maxShared = 1_024;

/** Finds out who the client is behind the proxies in front of this server. */
export function clients(options: ClientsOptions): Clients {
  const { trusted, ignoreHeaders, onShared } = options;
  const ownHeader = options.clientIpHeader.toLowerCase();
  const shared = new Set<string>();

  function share(address: string): void {
    shared.add(address);
    if (shared.size > maxShared) shared.delete(shared.values().next().value ?? "");
    onShared(address);
  }

  /** The header in which a proxy tells who asked, and its hops, client first. */
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

  return {
    of(socketAddress, headers) {
      const address = parseAddress(socketAddress) ?? socketAddress;
      if (ignoreHeaders) return clientAt(address, undefined, false);
      if (trusted(address)) {
        const behind = told(headers);
        if (behind === undefined) return clientAt(address, undefined, false);
        return clientAt(walk(address, behind.hops, trusted), behind.header, false);
      }
      const known = shared.has(address);
      const proxied = known || (told(headers) !== undefined && isPrivate(address));
      if (proxied && !known) share(address);
      return clientAt(address, undefined, proxied);
    },
    sharedCount: () => shared.size,
  };
}

interface Told {
  readonly header: string;
  readonly hops: readonly (string | undefined)[];
}

/**
 * From the socket back over trusted hops: the first that is not trusted is the client, since what
 * stands left of it is only its word. A hop that is no address ends the walk at the one before it.
 */
function walk(
  socketAddress: string,
  hops: readonly (string | undefined)[],
  trusted: AddressSet,
): string {
  let client = socketAddress;
  for (const hop of hops.toReversed()) {
    if (hop === undefined) return client;
    client = hop;
    if (!trusted(client)) return client;
  }
  return client;
}

function clientAt(address: string, header: string | undefined, isShared: boolean): Client {
  const ipv6 = address.includes(":");
  return {
    key: networkOf(address, 64),
    site: ipv6 ? networkOf(address, 48) : undefined,
    address,
    header,
    shared: isShared,
  };
}
