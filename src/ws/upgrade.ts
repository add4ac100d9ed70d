import type { Server } from "bun";
import type { Client } from "../admission/clients.ts";
import type { SocketLimits } from "../admission/socket-limits.ts";
import { parseAppId, parseSide } from "../base/ids.ts";
import { keptPart } from "../base/kept-part.ts";
import { andThen, type MaybePromise } from "../base/maybe-promise.ts";
import type { Rooms } from "../engine/engine.ts";
import { type ProblemCode, type ProblemOptions, problem } from "../http/problem.ts";
import { v2 } from "../protocol/frames.ts";
import type { PeerIdentity } from "../signaling/context.ts";
import type { Refusal, Tally } from "../telemetry/tally.ts";
import type { PeerSocket } from "./peer-socket.ts";
import type { Sockets } from "./sockets.ts";

/** Undefined when the request became a socket. */
export type Upgrade = (
  request: Request,
  client: Client,
  server: Server<PeerSocket>,
) => MaybePromise<Response | undefined>;

const agreed = { "Sec-WebSocket-Protocol": v2 };
/** Keeps Bun from answering with whatever protocol was offered first. */
const declined = { "Sec-WebSocket-Protocol": "" };

/**
 * Turns a request into a socket. Everything is checked before that exists; the rate and the origin
 * are by then.
 */
export function createUpgrade(options: {
  readonly sockets: Sockets;
  readonly rooms: Rooms;
  readonly socketLimits: SocketLimits;
  /** The server is about to go: whoever comes now is better off with its successor. */
  readonly draining: () => boolean;
  readonly tally: Pick<Tally, "refusals">;
}): Upgrade {
  const { sockets, rooms, tally } = options;

  return (request, client, server) => {
    if (request.method !== "GET") return problem("method_not_allowed", { allow: "GET" });
    if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
      return upgradeRequired(refuse("not_upgrade", "upgrade_required"));
    }
    if (options.draining()) return refuse("draining", "draining");
    const identity = readIdentity(request);
    if ("detail" in identity) {
      return refuse("bad_request", "malformed", identity);
    }
    const refusal = withoutSpace(client);
    if (refusal !== undefined) return refusal;
    const admits = rooms.admits(identity.appId, client.accounts);
    return andThen(
      admits,
      (admission) => {
        if (admission === "admitted") {
          // Others may have come in while a shared store was asked.
          const late = admits instanceof Promise ? withoutSpace(client) : undefined;
          return late ?? enter(request, server, identity, client);
        }
        if (admission === "full") return refuse("rooms_full", "rooms_full");
        return refuse("rooms_share", "too_many_rooms");
      },
      () => refuse("unreachable", "store_unreachable"),
    );
  };

  function refuse(why: Refusal, code: ProblemCode, words?: ProblemOptions): Response {
    tally.refusals[why]++;
    return problem(code, words);
  }

  function withoutSpace(client: Client): Response | undefined {
    const space = options.socketLimits.admits(client.accounts);
    if (space === "full") return refuse("sockets_full", "sockets_full");
    return space === "ok" ? undefined : refuse("sockets_per_client", "too_many_sockets");
  }

  function enter(
    request: Request,
    server: Server<PeerSocket>,
    identity: PeerIdentity,
    client: Client,
  ): Response | undefined {
    const data = sockets.newSocket({ identity, isBrowser: isBrowser(request) }, client, server);
    const upgraded = request.headers.has("sec-websocket-protocol")
      ? server.upgrade(request, { data, headers: identity.v2 ? agreed : declined })
      : server.upgrade(request, { data });
    if (upgraded) return undefined;
    const detail = "The WebSocket handshake is not valid.";
    return refuse("bad_request", "malformed", { detail });
  }
}

/** RFC 9110 section 15.5.22: the answer names what to upgrade to. */
function upgradeRequired(answer: Response): Response {
  answer.headers.set("Upgrade", "websocket");
  answer.headers.set("Connection", "Upgrade");
  return answer;
}

/**
 * Reads who wants to connect from `appID`, `side`, `sid` and the offered subprotocols; or says what is
 * wrong with them, in words for their sender.
 */
export function readIdentity(request: Request): PeerIdentity | { readonly detail: string } {
  const { url } = request;
  const query = url.slice(url.indexOf("?") + 1);
  const appId = parseAppId(keptPart(parameter(query, appIdParameter) ?? "", url));
  if (appId === undefined) return { detail: "appID must be a UUID." };
  const side = parseSide(parameter(query, sideParameter) ?? "");
  if (side === undefined) return { detail: "side must be A or B." };
  const sid = parameter(query, sidParameter);
  if (sid !== undefined && sid.length > maxSidLength) {
    return { detail: `sid must have at most ${maxSidLength} characters.` };
  }
  // What is not UTF-8 was decoded to this character: two different sids would be one client.
  if (sid?.includes("\ufffd")) return { detail: "sid must be UTF-8, percent-encoded." };
  const wantsV2 = offers(request.headers.get("sec-websocket-protocol"), v2);
  return {
    appId,
    side,
    sid: keptPart(sid ?? "", url),
    mailboxClient: sid !== undefined,
    v2: wantsV2,
  };
}

/** Browsers send an `Origin` and a `User-Agent` of `Mozilla/…`, and nothing else on every upgrade. */
function isBrowser({ headers }: Request): boolean {
  return headers.has("origin") && (headers.get("user-agent")?.startsWith("Mozilla/") ?? false);
}

const maxSidLength = 256;

const appIdParameter = /(?:^|&)appID(?:=([^&]*))?(?:&|$)/;
const sideParameter = /(?:^|&)side(?:=([^&]*))?(?:&|$)/;
const sidParameter = /(?:^|&)sid(?:=([^&]*))?(?:&|$)/;

/**
 * The first value of a query parameter. Expressions read it, and `URLSearchParams` is asked only where
 * there is something to decode: most sockets open while the code that opens them is still cold, and
 * what takes the fewest steps is cheapest then.
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
