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

const later = "yes, with back-off";

/** How the server closes a connection, by its reason. */
export const closes = {
  replaced: { code: 1000, text: "replaced", retry: "no" },
  shutdown: { code: 1001, text: "server going away", retry: "yes, at once" },
  busy: { code: 1008, text: "side {side} busy", retry: "yes, slowly" },
  displaced: { code: 1008, text: "side {side} busy", retry: "yes, slowly" },
  parked_overflow: { code: 1008, text: "too many frames while waiting", retry: "yes, slowly" },
  no_room: { code: 1000, text: "no room asked for", retry: later },
  control_frames: { code: 1008, text: "too many control frames", retry: "no: fix the client" },
  slow_peer: { code: 1013, text: "slow peer", retry: later },
  buffers_full: { code: 1013, text: "buffers full", retry: later },
  client_buffers_full: { code: 1013, text: "buffers full", retry: later },
  mailbox_full: { code: 1013, text: "mailbox full", retry: later },
  mail_share: { code: 1013, text: "this address has too much mail waiting", retry: later },
  rooms_full: { code: 1013, text: "no space for another room", retry: later },
  rooms_share: { code: 1013, text: "this address holds as many rooms as it may", retry: later },
  unreachable: { code: 1013, text: "store unreachable", retry: later },
} as const satisfies Record<string, Close>;

/** What the server closes a connection for. */
export type ServerClose = keyof typeof closes;

/** Why a connection ended, by the reason in metrics and log; in Markdown. */
export const closeReasons = {
  replaced:
    "a newer socket has its seat: of the same client, or of any client if this one was dead",
  shutdown: "the server stopped",
  busy: "a living client has the side",
  displaced: "as `busy`, and a later newcomer waits in its place",
  parked_overflow: "too many of its frames wait to be handled, usually before it has a seat",
  no_room: "it did not ask for a room within `ROOM_TTL`",
  control_frames: "it sent more pings and pongs than any client needs",
  slow_peer: "it read nothing for `SLOW_PEER_TIMEOUT`",
  buffers_full: "too many bytes of all clients wait to be sent or handled",
  client_buffers_full: "too many bytes of one client or site wait to be sent or handled",
  mailbox_full: "its mail was not stored: the mailbox is full (only without `nt.v2`)",
  mail_share: "its mail was not stored: it has its share of all mail (only without `nt.v2`)",
  rooms_full: "no space for another room",
  rooms_share: "its client has its share of all rooms",
  unreachable: "this node could not reach Redis; another one may",
  // Here the server sends no close frame.
  client: "the client closed it, or its network did",
  dead: "it stopped answering pings and was cut; the client sees 1006",
  protocol: "a frame over `WS_MAX_MSG` (1009), or a protocol error (1002, 1007)",
} as const satisfies Record<ServerClose | "client" | "dead" | "protocol", string>;

export type CloseReason = keyof typeof closeReasons;

/** The text of a close frame. `side` is the client's, undefined while it has no room. */
export function closeText(reason: ServerClose, side: Side | undefined): string {
  return closes[reason].text.replace("{side}", side ?? "");
}
