import { networkOf, parseAddress } from "../base/address.ts";
import type { Config } from "../config/config.ts";
import type { CloseReason } from "../protocol/closes.ts";
import type { FrameFault, FrameType } from "../protocol/frames.ts";
import type { Log } from "./log.ts";

/** Digits of a room's tag: enough to follow one room through a log. */
const tagLength = 10;

export type ConnectionLog = NonNullable<ReturnType<typeof connectionLog>>;

/** Where a connection is. */
interface Place {
  /** Only its tag is logged. */
  readonly appId: string;
  readonly side: string;
}

interface Leaving {
  readonly why: CloseReason;
  readonly ms: number;
  readonly frames: number;
  readonly bytes: number;
}

interface Refused {
  /** Undefined if no route matches: the path is never logged, as it may contain a code. */
  readonly route: string | undefined;
  readonly status: number;
  readonly code?: string | undefined;
  /** Has no data of the client. */
  readonly detail?: string | undefined;
}

/**
 * Logs codes, connections, pairs and refusals at level debug, and frames at level trace: these lines
 * grow with the traffic. Undefined at the other levels. Rooms are named by a tag, a hash with a key that
 * only this process has: it is the same in every line of one node, differs between nodes, and does not
 * let anybody join the room.
 */
export function connectionLog(log: Log, config: Pick<Config, "logLevel" | "logClient">) {
  if (config.logLevel !== "debug" && config.logLevel !== "trace") return undefined;
  let requests = 0;
  const key = crypto.randomUUID();
  const roomTag = (appId: string) =>
    new Bun.CryptoHasher("sha256", key).update(appId).digest("hex").slice(0, tagLength);
  const client = (address: string) => ({ client: logClient(address, config.logClient) });
  const named = (connection: string, place: Place | undefined) => ({
    connection,
    ...(place && { room: roomTag(place.appId), side: place.side }),
  });

  return {
    roomTag,
    logsFrames: config.logLevel === "trace",
    minted: (appId: string, address: string) =>
      log.debug("minted", { room: roomTag(appId), ...client(address) }),
    redeemed: (appId: string, address: string) =>
      log.debug("redeemed", { room: roomTag(appId), ...client(address) }),
    joined: (connection: string, place: Place, address: string) =>
      log.debug("join", { ...named(connection, place), ...client(address) }),
    /** The connection has its seat, and the other side is there. */
    paired: (connection: string, place: Place) => log.debug("paired", named(connection, place)),
    left: (connection: string, place: Place | undefined, leaving: Leaving) =>
      log.debug("leave", { ...named(connection, place), ...leaving }),
    /** A frame that was ignored. `detail` has no data of the client. */
    frameRefused: (id: string, place: Place | undefined, code: FrameFault, detail: string) =>
      log.debug("frame refused", { ...named(id, place), code, detail }),
    /** A frame, and what was done with it. */
    frame(id: string, place: Place | undefined, type: FrameType, bytes: number, outcome: string) {
      log.trace("frame", { ...named(id, place), type, bytes, outcome });
    },
    /** An HTTP request or an upgrade that was answered with an error. */
    refused({ method, headers }: Request, answer: Refused, address: string) {
      const given = headers.get("x-request-id") ?? "";
      const isUsable = /^[\w.:-]{1,64}$/.test(given);
      // The id that a proxy gave the request, or a new one.
      const request = isUsable ? given : `r${(++requests).toString(36)}`;
      log.debug("refused", { request, method, ...answer, ...client(address) });
    },
  };
}

/**
 * How a client's address is logged: with `prefix` the /24 of an IPv4 address or the /48 of an IPv6 one,
 * which identify networks but not people. Undefined (the field is left out) with `none`, and with
 * `prefix` if the address is not valid.
 */
export function logClient(address: string, mode: Config["logClient"]): string | undefined {
  if (mode === "none") return undefined;
  const parsed = parseAddress(address);
  if (mode === "full") return parsed ?? address;
  if (parsed === undefined) return undefined;
  if (parsed.includes(":")) return networkOf(parsed, 48);
  return `${parsed.slice(0, parsed.lastIndexOf("."))}.0/24`;
}
