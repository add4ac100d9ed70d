import { formatDuration } from "../base/duration.ts";
import { inUrl, isAnyAddress } from "../base/network.ts";
import { version } from "../base/version.ts";
import type { Config } from "../config/config.ts";
import { inUnits } from "../config/formats.ts";

export interface BannerFacts {
  /** `http:` or `https:` */
  readonly protocol: string;
  /** The port it listens on: never 0. */
  readonly port: number;
  /** Addresses for other machines, if it listens on all addresses. */
  readonly lanAddresses: readonly string[];
  readonly config: Config;
  readonly warnings: readonly string[];
  /** Undefined unless the server made its certificate itself. */
  readonly fingerprint?: string | undefined;
  /** Lines of a QR code of the page, for a phone. */
  readonly qr?: readonly string[];
}

/** What a terminal shows when the server listens. */
export function banner(facts: BannerFacts): string {
  const { config, warnings } = facts;
  const { codeDigits, codeDigitsMax } = config;
  const digits = codeDigits === codeDigitsMax ? codeDigits : `${codeDigits} to ${codeDigitsMax}`;
  return [
    `nt-signal ${version}`,
    "",
    ...urlLines(facts),
    "",
    ...(config.demo ? [invitation(facts), ""] : []),
    ...(facts.qr?.length ? [...facts.qr, ""] : []),
    `  Engine  ${config.redisUrl === "" ? "memory" : "Redis"}`,
    `  Codes   ${digits} digits, for ${formatDuration(config.roomTtlMs)}`,
    `  Rooms   up to ${config.maxRooms.toLocaleString("en")}, messages up to ${inUnits(config.wsMaxMsgBytes)}`,
    ...(facts.fingerprint === undefined ? [] : certificate(facts.fingerprint)),
    "",
    ...(warnings.length === 0 ? [] : [...warnings.map((warning) => `  ! ${warning}`), ""]),
    "Stop it with Ctrl+C.",
    "",
  ].join("\n");
}

/** A browser shows the same fingerprint when it asks whether to trust the certificate. */
function certificate(fingerprint: string): readonly string[] {
  const half = Math.ceil(fingerprint.length / 2);
  return [
    `  TLS     self-signed, SHA-256 ${fingerprint.slice(0, half)}`,
    `          ${fingerprint.slice(half)}`,
  ];
}

/** Prefers the machine's address in the network: a phone cannot use localhost. */
function invitation(facts: BannerFacts): string {
  const [lan] = facts.lanAddresses;
  const url = pageUrl(lan ?? hosts(facts)[0] ?? facts.config.host, facts);
  const where = lan === undefined ? "two browsers" : "two browsers, here or on a phone";
  return `  Try it: open ${url} in ${where}.`;
}

function urlLines(facts: BannerFacts): readonly string[] {
  const urls = hosts(facts).map((host) => pageUrl(host, facts));
  const widest = Math.max(...urls.map((url) => url.length));
  return urls.map((url) => `  ${url.padEnd(widest)}  ${url.replace(/^http/, "ws")}/ws`);
}

function hosts({ config, lanAddresses }: BannerFacts): readonly string[] {
  return isAnyAddress(config.host) ? ["localhost", ...lanAddresses] : [config.host];
}

/** The page at one of the addresses, without a slash at its end. */
export function pageUrl(
  host: string,
  { protocol, config, port }: Pick<BannerFacts, "protocol" | "config" | "port">,
): string {
  return `${protocol}//${inUrl(host)}:${port}${config.basePath}`;
}
