import { boolean, duration } from "../formats.ts";
import { iceServers, roomsWithTurn, secretList, turnUrls } from "../ice-formats.ts";
import type { Setting } from "../setting.ts";

/** What helps peers to find each other: ICE servers, and a page to try it on. */
export const ice = [
  {
    variable: "DEMO",
    key: "demo",
    schema: boolean,
    default: "true",
    help: "A page to try it at `/`; false by default where `DEV` is false",
  },
  {
    variable: "ICE_SERVERS",
    key: "iceServers",
    schema: iceServers,
    default: "",
    help: "STUN and TURN servers that clients are told of; those with a credential only where TURN is given",
    secret: true,
  },
  {
    variable: "TURN_URLS",
    key: "turnUrls",
    schema: turnUrls,
    default: "",
    help: "TURN servers that share `TURN_SECRET` with this one, which then gives out time-limited credentials",
  },
  {
    variable: "TURN_SECRET",
    key: "turnSecrets",
    schema: secretList,
    default: "",
    help: "What credentials are signed with (coturn's `static-auth-secret`): the first secret signs, the others are there for rotation",
    secret: true,
  },
  {
    variable: "TURN_TTL",
    key: "turnTtlMs",
    schema: duration("1m", "24h"),
    default: "10m",
    help: "How long TURN credentials can be used",
  },
  {
    variable: "TURN_ROOMS",
    key: "turnRooms",
    schema: roomsWithTurn,
    default: "redeemed",
    help: "Which rooms get TURN: those whose code was minted and redeemed here, or any",
  },
] as const satisfies readonly Setting[];
