import { formatDuration } from "../base/duration.ts";
import type { Config } from "../config.ts";
import { inUrl, isAnyAddress } from "./own-address.ts";

export interface BannerFacts {
  readonly version: string;
  /** The one it got: never 0. */
  readonly port: number;
  /** Addresses other machines may use, when it listens on all. */
  readonly lanAddresses: readonly string[];
  /** Where codes and rooms are kept. */
  readonly engine: string;
  readonly config: Pick<
    Config,
    | "host"
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

/** What a person at a terminal wants to know of a server that has just begun to listen. */
export function banner(facts: BannerFacts): string {
  const { config, warnings } = facts;
  const { codeDigits, codeDigitsMax } = config;
  const digits = codeDigits === codeDigitsMax ? codeDigits : `${codeDigits} to ${codeDigitsMax}`;
  return [
    `nt-signal ${facts.version}`,
    "",
    ...urlLines(facts),
    "",
    `  Engine  ${facts.engine}`,
    `  Codes   ${digits} digits, for ${formatDuration(config.roomTtlMs)}`,
    `  Rooms   ${config.maxRooms} at most, messages of ${config.wsMaxMsgBytes} bytes at most`,
    "",
    ...(warnings.length === 0 ? [] : [...warnings.map((warning) => `  ! ${warning}`), ""]),
    "Stop it with Ctrl+C.",
    "",
  ].join("\n");
}

function urlLines({ config, port, lanAddresses }: BannerFacts): readonly string[] {
  const secure = config.tlsCertFile === "" ? "" : "s";
  const hosts = isAnyAddress(config.host) ? ["localhost", ...lanAddresses] : [config.host];
  const urls = hosts.map((host) => {
    const place = `${inUrl(host)}:${port}${config.basePath}`;
    return [`http${secure}://${place}`, `ws${secure}://${place}/ws`] as const;
  });
  const widest = Math.max(...urls.map(([http]) => http.length));
  return urls.map(([http, ws]) => `  ${http.padEnd(widest)}  ${ws}`);
}
