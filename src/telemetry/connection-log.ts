import { networkOf, parseAddress } from "../base/address.ts";
import type { Config } from "../config/config.ts";
import type { CloseReason } from "../protocol/closes.ts";
import type { Fields, Log } from "./log.ts";
import type { Refusal } from "./tally.ts";

/** Digits of a room's tag: enough to follow one room through a log. */
const tagLength = 10;

export type ConnectionLog = ReturnType<typeof connectionLog>;

/**
 * Logs who joined, left and was refused, at level debug: these lines grow with the traffic. Rooms
 * are named by a tag, a hash under a key that only this process knows. The same room has the same
 * tag in every line, and a tag does not let anybody join the room.
 */
export function connectionLog(log: Log, mode: Config["logClient"]) {
  let requests = 0;
  const key = crypto.randomUUID();
  const tag = (appId: string) =>
    new Bun.CryptoHasher("sha256", key).update(appId).digest("hex").slice(0, tagLength);
  const client = (address: string): Fields => ({ client: logClient(address, mode) });

  return {
    joined(connection: string, appId: string, side: string, address: string): void {
      log.debug("join", { connection, room: tag(appId), side, ...client(address) });
    },
    left(
      connection: string,
      leaving: {
        /** Logged as its tag only. */
        readonly appId: string;
        readonly side: string;
        readonly why: CloseReason;
        readonly ms: number;
        readonly frames: number;
        readonly bytes: number;
      },
    ): void {
      const { appId, side, why, ms, frames, bytes } = leaving;
      log.debug("leave", { connection, room: tag(appId), side, why, ms, frames, bytes });
    },
    /** An upgrade that was refused. */
    refused(why: Refusal, address: string): void {
      log.debug("refused", { why, ...client(address) });
    },
    /**
     * An HTTP request that was answered with an error. Its path is left out: a client may have put a
     * code there. `request` is the `X-Request-Id` a proxy gave it, or an id of its own.
     */
    refusedRequest({ method, headers }: Request, status: number, address: string): void {
      const given = headers.get("x-request-id") ?? "";
      const request = /^[\w.:-]{1,64}$/.test(given) ? given : `r${(++requests).toString(36)}`;
      log.debug("refused request", { request, method, status, ...client(address) });
    },
  };
}

/**
 * How a client's address is logged: with `prefix` the /24 of an IPv4 address or the /48
 * of an IPv6 one, which tell networks apart but not people. Undefined with `none`, and with
 * `prefix` for what is no address: a field without a value is left out of its line.
 */
export function logClient(address: string, mode: Config["logClient"]): string | undefined {
  if (mode === "none") return undefined;
  const parsed = parseAddress(address);
  if (mode === "full") return parsed ?? address;
  if (parsed === undefined) return undefined;
  if (parsed.includes(":")) return networkOf(parsed, 48);
  return `${parsed.slice(0, parsed.lastIndexOf("."))}.0/24`;
}
