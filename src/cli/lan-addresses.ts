import type { NetworkInterfaceInfo } from "node:os";
import { isAnyAddress } from "./own-address.ts";

type Interfaces = Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;

/**
 * Addresses at which other machines find a server that listens on `host`: none when that is a
 * certain one, IPv6 only on `::`. Link-local ones need a zone and are left out.
 */
export function lanAddresses(host: string, interfaces: Interfaces): readonly string[] {
  if (!isAnyAddress(host)) return [];
  return Object.values(interfaces)
    .flatMap((infos) => infos ?? [])
    .filter(({ internal, address }) => !internal && !/^fe[89ab]/i.test(address))
    .filter(({ family }) => family === "IPv4" || host.includes(":"))
    .map(({ address }) => address);
}
