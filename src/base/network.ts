import type { NetworkInterfaceInfo } from "node:os";
import { isLoopbackAddress, parseAddress } from "./address.ts";

/** Whether a server on `host` listens on every address of the machine. */
export function isAnyAddress(host: string): boolean {
  const bare = withoutBrackets(host);
  return bare === "0.0.0.0" || bare === "::";
}

/** `localhost`, 127.0.0.0/8 and ::1. */
export function isLoopback(host: string): boolean {
  const bare = withoutBrackets(host).toLowerCase();
  return bare === "localhost" || isLoopbackAddress(parseAddress(bare) ?? "");
}

/** The host, for a URL, at which this machine reaches a server that listens on `host`. */
export function ownAddress(host: string): string {
  const bare = withoutBrackets(host);
  if (bare === "0.0.0.0") return "127.0.0.1";
  if (bare === "::") return "[::1]";
  return inUrl(bare);
}

/** For a URL: IPv6 in brackets (RFC 3986 section 3.2.2). */
export function inUrl(host: string): string {
  return host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
}

/** `::1` of `[::1]`, as it is in a URL. */
export function withoutBrackets(host: string): string {
  return host.replace(/^\[(.*)\]$/, "$1");
}

/**
 * Addresses at which other machines find a server that listens on every address: empty for any other
 * `host`; IPv6 addresses only for `::`. Link-local ones need a zone and are left out. The first is the
 * one that a phone in the same network most likely reaches.
 */
export function lanAddresses(
  host: string,
  interfaces: Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>,
): readonly string[] {
  if (!isAnyAddress(host)) return [];
  const names = Object.keys(interfaces).toSorted((a, b) => rank(a) - rank(b));
  return names
    .flatMap((name) => interfaces[name] ?? [])
    .filter(({ internal, address }) => !internal && !/^fe[89ab]/i.test(address))
    .filter(({ family }) => family === "IPv4" || host.includes(":"))
    .map(({ address }) => address);
}

/** Networks of containers, virtual machines and VPNs come last: no phone is in them. */
function rank(name: string): number {
  const last =
    /^(?:br-|cni|docker|lxc|podman|tailscale|tap|tun|utun|veth|vEthernet|virbr|vmnet|wg|zt)/;
  return last.test(name) ? 1 : 0;
}
