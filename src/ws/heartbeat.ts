import type { Clock } from "../base/clock.ts";
import type { PeerSocket } from "./peer-socket.ts";

/**
 * Sockets are visited in parts of a round this long, so that few pings go out at once: with 20 parts
 * of a round, frames on 19,000 sockets waited 22 ms behind them (p99), and now wait 4 ms.
 */
const slotMs = 50;
const [fewestSlots, mostSlots] = [20, 1_000];

/**
 * No client is cut that was silent for less, in ms, however short HEARTBEAT is: in the middle of a frame
 * a client cannot answer a ping, and the runtime shows a frame only at its end.
 */
const leastSilenceMs = 4_000;

/** Pings of a round stay this far below HEARTBEAT, so that a silent peer is gone within two. */
const roundPart = 0.9;

/**
 * Pings every socket each 0.9 × HEARTBEAT, for the first time one HEARTBEAT after it opened (a client
 * that knows text frames only has begun by then), and cuts those that showed no life between two pings, and
 * for `leastSilenceMs`: no frame, no pong, and nothing taken of what was queued for them. A silent
 * peer is gone within 2 × HEARTBEAT, or where that is longer 4 s and a ping, whatever is being sent to
 * it. A socket that the server itself doesn't read from is not judged. One timer for all.
 */
export function startHeartbeat(heartbeatMs: number, clock: Clock) {
  const roundMs = heartbeatMs * roundPart;
  const slots = Math.min(mostSlots, Math.max(fewestSlots, Math.ceil(roundMs / slotMs)));
  const slotsOfHeartbeat = Math.ceil(slots / roundPart) + 1;
  /** Sockets that open together are spread over this many slots. With more, a cut could take two HEARTBEATs. */
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
    /** Every socket that is open. */
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
