import { duration, socketCount, wholeNumber } from "../formats.ts";
import { gib, kib, maxCount, mib, minMessageBytes, type Setting } from "../setting.ts";

/** WebSockets, each by itself and all together. */
export const sockets = [
  {
    variable: "HEARTBEAT",
    aliases: ["WS_HEARTBEAT"],
    key: "heartbeatMs",
    schema: duration("100ms", "10m"),
    default: "20s",
    help: "How often each connection is pinged; one that stays silent is closed, after 4 s at the earliest: no message may take its sender longer",
  },
  {
    variable: "WS_MAX_MSG",
    key: "wsMaxMsgBytes",
    schema: wholeNumber(minMessageBytes, 16 * mib),
    default: "1048576",
    help: "Largest WebSocket message in bytes; a larger one closes the connection with 1009",
  },
  {
    variable: "WS_BUFFER",
    key: "wsBufferBytes",
    schema: wholeNumber(16 * kib, 64 * mib),
    default: "262144",
    help: "Unsent bytes for one peer at which the other one has to wait",
  },
  {
    variable: "WS_BUFFER_TOTAL",
    key: "wsBufferTotalBytes",
    schema: wholeNumber(16 * kib, 1_024 * gib),
    default: "268435456",
    help: "Unsent bytes for all peers together, past which the slowest is closed; past an eighth for one client or half for one site, its slowest",
  },
  {
    variable: "SLOW_PEER_TIMEOUT",
    key: "slowPeerTimeoutMs",
    schema: duration("1s", "10m"),
    default: "30s",
    help: "How long a peer may read nothing of what waits for it before it is closed with 1013",
  },
  {
    variable: "FRAMES_PER_SEC",
    key: "framesPerSec",
    schema: wholeNumber(0, maxCount),
    default: "1000",
    help: "Frames a second that one socket may send, with bursts of twice that; it is read no faster. Each 512 characters of a frame count as one more, and all frames over 16 KiB together have a quarter of a core. 0 sets no limit, on large frames neither",
  },
  {
    variable: "MAX_SOCKETS",
    key: "maxSockets",
    schema: socketCount,
    default: "auto",
    help: "WebSockets at a time, past which new ones are refused with 503; a client has at most an eighth of them and a site half; auto leaves a twentieth of the open-file limit free",
  },
] as const satisfies readonly Setting[];
