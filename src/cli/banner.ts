import { formatDuration } from "../base/duration.ts";
import type { Config } from "../config/config.ts";
import { inUrl, isAnyAddress } from "./network.ts";

export interface BannerFacts {
  readonly version: string;
  /** The port it listens on: never 0. */
  readonly port: number;
  /** Addresses for other machines, when it listens on all. */
  readonly lanAddresses: readonly string[];
  readonly config: Pick<
    Config,
    | "host"
    | "demo"
    | "redisUrl"
    | "tlsCertFile"
    | "basePath"
    | "roomTtlMs"
    | "codeDigits"
    | "codeDigitsMax"
    | "maxRooms"
    | "wsMaxMsgBytes"
  >;
  readonly warnings: readonly string[];
}

/** What a terminal shows of a server that has just begun to listen. */
export function banner(facts: BannerFacts): string {
  const { config, warnings } = facts;
  const { codeDigits, codeDigitsMax } = config;
  const digits = codeDigits === codeDigitsMax ? codeDigits : `${codeDigits} to ${codeDigitsMax}`;
  return [
    `nt-signal ${facts.version}`,
    "",
    ...urlLines(facts),
    "",
    ...(config.demo ? [invitation(facts), ""] : []),
    `  Engine  ${config.redisUrl === "" ? "memory" : "Redis"}`,
    `  Codes   ${digits} digits, for ${formatDuration(config.roomTtlMs)}`,
    `  Rooms   ${config.maxRooms} at most, messages of ${config.wsMaxMsgBytes} bytes at most`,
    "",
    ...(warnings.length === 0 ? [] : [...warnings.map((warning) => `  ! ${warning}`), ""]),
    "Stop it with Ctrl+C.",
    "",
  ].join("\n");
}

/** The URL has the machine's address where there is one: a phone cannot use localhost. */
function invitation(facts: BannerFacts): string {
  const [lan] = facts.lanAddresses;
  const url = urlOf(lan ?? hosts(facts)[0] ?? facts.config.host, facts);
  const where = lan === undefined ? "two browsers" : "two browsers, here or on a phone";
  return `  Try it: open ${url} in ${where}.`;
}

function urlLines(facts: BannerFacts): readonly string[] {
  const urls = hosts(facts).map((host) => urlOf(host, facts));
  const widest = Math.max(...urls.map((url) => url.length));
  return urls.map((url) => `  ${url.padEnd(widest)}  ${url.replace(/^http/, "ws")}/ws`);
}

function hosts({ config, lanAddresses }: BannerFacts): readonly string[] {
  return isAnyAddress(config.host) ? ["localhost", ...lanAddresses] : [config.host];
}

function urlOf(host: string, { config, port }: BannerFacts): string {
  const scheme = config.tlsCertFile === "" ? "http" : "https";
  return `${scheme}://${inUrl(host)}:${port}${config.basePath}`;
}
