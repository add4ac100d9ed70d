import type { Clock } from "../base/clock.ts";
import type { PeerSocket } from "./peer-socket.ts";

/**
 * A round is divided into slots of about this length, so that few pings are sent at once. With 19,000
 * sockets and 20 slots per round, frames waited 22 ms behind pings (p99); with these slots, 4 ms.
 */
const slotMs = 50;
const [fewestSlots, mostSlots] = [20, 1_000];

/**
 * A client is cut only after this much silence, in ms, however short HEARTBEAT is. In the middle of a
 * frame it cannot answer a ping, and the runtime reports a frame only at its end.
 */
const leastSilenceMs = 4_000;

/** The length of a round, as part of HEARTBEAT. So a silent peer is closed within two HEARTBEATs. */
const roundPart = 0.9;

/**
 * Pings every socket each 0.9 × HEARTBEAT. The first ping comes one HEARTBEAT after the socket opened: a
 * client that only handles text frames has started by then. Cuts a socket that showed no sign of life
 * between two pings and for `leastSilenceMs`: no frame, no pong, no queued byte read. So a silent peer
 * is closed within 2 × HEARTBEAT, or 4 s and a ping if that is longer, even while it is being sent
 * to. Paused sockets are never cut, since the server does not read from them. One timer serves all.
 */
export function startHeartbeat(heartbeatMs: number, clock: Clock) {
  const roundMs = heartbeatMs * roundPart;
  const slots = Math.min(mostSlots, Math.max(fewestSlots, Math.ceil(roundMs / slotMs)));
  const slotsOfHeartbeat = Math.ceil(slots / roundPart) + 1;
  /** Sockets that open together are spread over this many slots. With more, a cut could take > 2 × HEARTBEAT. */
  const spread = Math.max(1, Math.floor(slots * (1 - roundPart)) - 2);
  const wheel = Array.from({ length: slots }, () => new Set<PeerSocket>());
  let at = 0;
  let joined = 0;

  const stop = clock.every(roundMs / slots, () => {
    at = (at + 1) % slots;
    if (wheel[at]?.size === 0) return;
    const monotonicMs = clock.monotonicMs();
    const ping = `beat-${monotonicMs}`;
    for (const socket of wheel[at] ?? []) {
      if (monotonicMs - socket.openedAt >= heartbeatMs) beat(socket, ping, monotonicMs);
    }
  });

  return {
    add(socket: PeerSocket): void {
      socket.slot = (at + slotsOfHeartbeat + (joined++ % spread)) % slots;
      wheel[socket.slot]?.add(socket);
    },
    /** All open sockets. */
    *all(): Generator<PeerSocket> {
      for (const slot of wheel) yield* slot;
    },
    remove(socket: PeerSocket): void {
      wheel[socket.slot]?.delete(socket);
    },
    stop,
  };
}

function beat(socket: PeerSocket, ping: string, monotonicMs: number): void {
  if (socket.paused !== 0) socket.heardAt = monotonicMs;
  const silent = socket.heardAt < socket.beatAt && monotonicMs - socket.heardAt >= leastSilenceMs;
  if (silent) socket.terminate("dead");
  else socket.beats(ping, monotonicMs);
}
