import { networkOf, parseAddress } from "../base/address.ts";
import type { LogClientMode } from "../base/log-client-mode.ts";

/**
 * What the log may show of a client's address: with `prefix` the /24 of an IPv4 address or the /48
 * of an IPv6 one, which tell networks apart but not people. Undefined with `none`, and with
 * `prefix` for what is no address: a field without a value is left out of its line.
 */
export function logClient(address: string, mode: LogClientMode): string | undefined {
  if (mode === "none") return undefined;
  const parsed = parseAddress(address);
  if (mode === "full") return parsed ?? address;
  if (parsed === undefined) return undefined;
  if (parsed.includes(":")) return networkOf(parsed, 48);
  return `${parsed.slice(0, parsed.lastIndexOf("."))}.0/24`;
}
