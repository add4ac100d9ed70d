import type { LogClientMode } from "../base/log-client-mode.ts";
import type { CloseReason } from "../protocol/closes.ts";
import type { Fields, Log } from "./log.ts";
import { logClient } from "./log-client.ts";
import type { Refusal } from "./tally.ts";

/** What is told of one connection when it is over. */
export interface Leaving {
  /** Never written as it is. */
  readonly appId: string;
  readonly side: string;
  readonly why: CloseReason;
  readonly ms: number;
  readonly frames: number;
  readonly bytes: number;
}

/** Who came, went and was turned away, at level debug: the lines that grow with the traffic. */
export interface ConnectionLog {
  joined(connection: string, appId: string, side: string, address: string): void;
  left(connection: string, leaving: Leaving): void;
  /** An upgrade that was turned away. */
  refused(why: Refusal, address: string): void;
  /**
   * An HTTP request that was answered with an error. Its path is left out: a client may have put a
   * code there. `request` is the `X-Request-Id` a proxy gave it, or an id of its own.
   */
  refusedRequest(request: Request, status: number, address: string): void;
}

/** Digits of a room's tag: enough to follow one room through a log. */
const tagLength = 10;

/**
 * A journal that names rooms by a tag: a hash under a key that only this process knows. The same
 * room has the same tag in every line, and nobody can join a room by its tag.
 */
export function connectionLog(log: Log, mode: LogClientMode): ConnectionLog {
  let requests = 0;
  const key = crypto.randomUUID();
  const tag = (appId: string) =>
    new Bun.CryptoHasher("sha256", key).update(appId).digest("hex").slice(0, tagLength);
  const told = (address: string): Fields => ({ client: logClient(address, mode) });

  return {
    joined(connection, appId, side, address) {
      log.debug("join", { connection, room: tag(appId), side, ...told(address) });
    },
    left(connection, { appId, side, why, ms, frames, bytes }) {
      log.debug("leave", { connection, room: tag(appId), side, why, ms, frames, bytes });
    },
    refused(why, address) {
      log.debug("refused", { why, ...told(address) });
    },
    refusedRequest({ method, headers }, status, address) {
      const given = headers.get("x-request-id") ?? "";
      const request = /^[\w.:-]{1,64}$/.test(given) ? given : `r${(++requests).toString(36)}`;
      log.debug("refused request", { request, method, status, ...told(address) });
    },
  };
}
