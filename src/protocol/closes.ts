import type { Side } from "../base/ids.ts";

/** Whether a client should connect again, and when. */
type RetryAdvice =
  | "no"
  /** The same would happen again. */
  | "no: fix the client"
  | "yes, at once"
  | "yes, with back-off"
  | "yes, slowly";

interface Close {
  /** RFC 6455 section 7.4; 1013 from the IANA registry. */
  readonly code: 1000 | 1001 | 1008 | 1013;
  /** `{side}` becomes the client's side. */
  readonly text: string;
  readonly retry: RetryAdvice;
}

/** Why the server closes a connection, by the reason in metrics and log. */
export const closes = {
  /** A newer socket has the seat: of the same client, or of any client if this one was dead. */
  replaced: { code: 1000, text: "replaced", retry: "no" },
  shutdown: { code: 1001, text: "server going away", retry: "yes, at once" },
  /** A living client has the side. */
  busy: { code: 1008, text: "side {side} busy", retry: "yes, slowly" },
  /** As `busy`, and a later newcomer waits in its place. */
  displaced: { code: 1008, text: "side {side} busy", retry: "yes, slowly" },
  parked_overflow: { code: 1008, text: "too many frames while waiting", retry: "yes, slowly" },
  /** It did not ask for a room within `ROOM_TTL`. */
  no_room: { code: 1000, text: "no room asked for", retry: "yes, with back-off" },
  /** More pings and pongs than any client needs. */
  control_frames: { code: 1008, text: "too many control frames", retry: "no: fix the client" },
  /** It read nothing for `SLOW_PEER_TIMEOUT`. */
  slow_peer: { code: 1013, text: "slow peer", retry: "yes, with back-off" },
  buffers_full: { code: 1013, text: "buffers full", retry: "yes, with back-off" },
  /** As `buffers_full`, for the share of one client or site. */
  client_buffers_full: { code: 1013, text: "buffers full", retry: "yes, with back-off" },
  mailbox_full: { code: 1013, text: "mailbox full", retry: "yes, with back-off" },
  /** It has used its share of the space for mail. Clients without `nt.v2` learn it only by a close. */
  mail_share: {
    code: 1013,
    text: "this address has too much mail waiting",
    retry: "yes, with back-off",
  },
  rooms_full: { code: 1013, text: "no space for another room", retry: "yes, with back-off" },
  rooms_share: {
    code: 1013,
    text: "this address holds as many rooms as it may",
    retry: "yes, with back-off",
  },
  /** This node cannot reach Redis; another one may. */
  unreachable: { code: 1013, text: "store unreachable", retry: "yes, with back-off" },
} as const satisfies Record<string, Close>;

/** What the server closes a connection for. */
export type ServerClose = keyof typeof closes;

/** Ends without a close frame of the server's own. */
const otherEnds = [
  /** The client closed it, or its network did. */
  "client",
  /** It stopped answering pings and was cut. The client sees 1006. */
  "dead",
  /** The runtime closed it: 1009 for a frame over the size limit, 1002 and 1007 for a protocol error. */
  "protocol",
] as const;

export type CloseReason = ServerClose | (typeof otherEnds)[number];
export const closeReasons: readonly CloseReason[] = [
  ...(Object.keys(closes) as ServerClose[]),
  ...otherEnds,
];

/** The text of a close frame. `side` is the client's, undefined while it has no room. */
export function closeText(reason: ServerClose, side: Side | undefined): string {
  return closes[reason].text.replace("{side}", side ?? "");
}
