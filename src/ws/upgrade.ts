import type { Server } from "bun";
import type { Client } from "../admission/clients.ts";
import { parseAppId, parseSide } from "../base/ids.ts";
import { keptPart } from "../base/kept-part.ts";
import type { Ledger } from "../base/ledger.ts";
import { andThen, type MaybePromise } from "../base/maybe-promise.ts";
import { type ProblemCode, type ProblemOptions, problem } from "../http/problem.ts";
import { maxSidLength, v2 } from "../protocol/frames.ts";
import type { PeerIdentity } from "../signaling/context.ts";
import type { Refusal, Tally } from "../telemetry/tally.ts";
import { noSeats } from "./entrance.ts";
import type { PeerSocket } from "./peer-socket.ts";
import type { Sockets } from "./sockets.ts";

/** Resolves with undefined when the request became a socket, otherwise with a refusal. */
export type Upgrade = (
  request: Request,
  client: Client,
  server: Server<PeerSocket>,
) => MaybePromise<Response | undefined>;

const agreed = { "Sec-WebSocket-Protocol": v2 };
/** Keeps Bun from choosing the first offered protocol. */
const declined = { "Sec-WebSocket-Protocol": "" };

interface UpgradeParts {
  readonly sockets: Sockets;
  /** Number of sockets. */
  readonly socketLedger: Ledger;
  /** The server is about to stop. Newcomers should connect to the new process. */
  readonly draining: () => boolean;
  readonly tally: Pick<Tally, "refusals">;
}

/**
 * Turns a request into a socket. The socket has its seat, or waits for it, before the `101`. The caller
 * has checked rate and origin.
 */
export function createUpgrade(parts: UpgradeParts): Upgrade {
  const { sockets, socketLedger, draining, tally } = parts;

  return (request, client, server) => {
    if (request.method !== "GET") return problem("method_not_allowed", { allow: "GET" });
    const { headers } = request;
    if (headers.get("upgrade")?.toLowerCase() !== "websocket") return upgradeRequired();
    if (draining()) return refuse("draining", "draining");
    const identity = readIdentity(request);
    if (identity && "detail" in identity) return refuse("bad_request", "malformed", identity);
    const bound = socketLedger.bound(client.accounts, 1);
    if (bound === "all") return refuse("sockets_full", "sockets_full");
    if (bound === "client") return refuse("sockets_per_client", "too_many_sockets");
    // The runtime would refuse these too, but only after the seat was taken and the peer was notified.
    if (headers.get("sec-websocket-version") !== version) return upgradeRequired();
    const hasKey = handshakeKey.test(headers.get("sec-websocket-key") ?? "");
    if (!hasKey) return refuse("bad_request", "malformed", noHandshake);
    // Counted before the store is asked, so that the limit also holds while it answers.
    socketLedger.add(client.accounts, 1);
    const socket = sockets.newSocket(identity, client, server, isBrowser(request));
    return andThen(socket.peer?.take(), (noSeat) => {
      const answer =
        noSeat === undefined ? enter(request, server, socket) : refuse(noSeat, noSeats[noSeat]);
      if (answer !== undefined) socketLedger.add(client.accounts, -1);
      return answer;
    });
  };

  function refuse(why: Refusal, code: ProblemCode, words?: ProblemOptions): Response {
    tally.refusals[why]++;
    return problem(code, words);
  }

  function upgradeRequired(): Response {
    const answer = refuse("not_upgrade", "upgrade_required");
    for (const [name, value] of whatToUpgradeTo) answer.headers.set(name, value);
    return answer;
  }

  function enter(request: Request, server: Server<PeerSocket>, data: PeerSocket) {
    if (draining()) {
      sockets.abandon(data);
      return refuse("draining", "draining");
    }
    const { v2 } = data.identity ?? { v2: true };
    const upgraded = request.headers.has("sec-websocket-protocol")
      ? server.upgrade(request, { data, headers: v2 ? agreed : declined })
      : server.upgrade(request, { data });
    if (upgraded) return undefined;
    // The client left while its seat was being taken.
    sockets.abandon(data);
    return refuse("bad_request", "malformed", noHandshake);
  }
}

/** RFC 6455 section 4.2.1. */
const version = "13";
/** RFC 9110 section 15.5.22, RFC 6455 section 4.4. */
const whatToUpgradeTo = [
  ["Upgrade", "websocket"],
  ["Connection", "Upgrade"],
  ["Sec-WebSocket-Version", version],
] as const;
const noHandshake = { detail: "The WebSocket handshake is not valid." };
const handshakeKey = /^[A-Za-z0-9+/]{22}==$/;

/**
 * Reads room, side and client from `appID`, `side`, `sid` and the offered subprotocols. Returns `Wrong`
 * for the client if they are invalid; undefined for a client of `nt.v2` whose URL names no room: it asks
 * for one in its first frame.
 */
function readIdentity({ url, headers }: Request): PeerIdentity | Wrong | undefined {
  const query = url.slice(url.indexOf("?") + 1);
  const room = parameter(query, appIdParameter);
  const wantsV2 = offers(headers.get("sec-websocket-protocol"), v2);
  if (room === undefined && wantsV2) return undefined;
  const appId = parseAppId(keptPart(room ?? "", url));
  if (appId === undefined) return { detail: "appID must be a UUID." };
  const side = parseSide(parameter(query, sideParameter) ?? "");
  if (side === undefined) return { detail: "side must be A or B." };
  const sid = parameter(query, sidParameter);
  if (sid !== undefined && sid.length > maxSidLength) {
    return { detail: `sid must have at most ${maxSidLength} characters.` };
  }
  // Invalid UTF-8 was decoded to this character. Two different sids could become equal.
  if (sid?.includes("\ufffd")) return { detail: "sid must be UTF-8, percent-encoded." };
  return {
    appId,
    side,
    sid: keptPart(sid ?? "", url),
    mailboxClient: sid !== undefined,
    v2: wantsV2,
  };
}

interface Wrong {
  readonly detail: string;
}

/** Only these two headers come with every upgrade of every browser: `Origin`, and `User-Agent: Mozilla/…`. */
function isBrowser({ headers }: Request): boolean {
  return headers.has("origin") && (headers.get("user-agent")?.startsWith("Mozilla/") ?? false);
}

const appIdParameter = /(?:^|&)appID(?:=([^&]*))?(?:&|$)/;
const sideParameter = /(?:^|&)side(?:=([^&]*))?(?:&|$)/;
const sidParameter = /(?:^|&)sid(?:=([^&]*))?(?:&|$)/;

/**
 * The first value of a query parameter. A regular expression finds it, and `URLSearchParams` is used only
 * to decode it. Most sockets open while this code is not compiled yet, so fewer steps are faster.
 */
function parameter(query: string, pattern: RegExp): string | undefined {
  const found = pattern.exec(query);
  if (found === null) return undefined;
  const value = found[1] ?? "";
  if (!value.includes("%") && !value.includes("+")) return value;
  return new URLSearchParams(`value=${value}`).get("value") ?? undefined;
}

function offers(protocols: string | null, wanted: string): boolean {
  if (protocols === null) return false;
  return protocols.split(",").some((name) => name.trim() === wanted);
}
