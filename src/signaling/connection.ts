import type { CloseReason } from "../telemetry/tally.ts";

/** Why a connection is not read from for a while. It is read again when no reason is left. */
export const pauseReasons = { slowPeer: 1, inbox: 2, rate: 4 } as const;
export type PauseReason = (typeof pauseReasons)[keyof typeof pauseReasons];

/** What the rules of signaling need of a socket. Nothing here throws, also on a closed one. */
export interface Connection {
  /** Sends a frame of the server's own. Answers its size in bytes. */
  send(text: string): number;
  /** Sends a relayed frame, in order with `send`. Answers its size in bytes. */
  relay(text: string): number;
  /** More is unsent than should be: whoever sends to this connection had better wait. */
  readonly congested: boolean;
  /** Bytes that were sent and may not have been read yet: an upper bound, proven by pongs. */
  unreadBytes(): number;
  /** The last round trip that was measured, in ms; 0: none yet. */
  readonly roundTripMs: number;
  /** When it was last heard, or took some of what was queued for it, in ms of the monotonic clock. */
  readonly heardAt: number;
  /** True while unsent bytes are few enough for mail to be pulled. */
  hasRoom(): boolean;
  /** Frames relayed to this connection's side reach it from now on. */
  joinTopic(): void;
  leaveTopic(): void;
  ping(nonce: string): void;
  pause(reason: PauseReason): void;
  resume(reason: PauseReason): void;
  /** Reads for a turn although paused, so that a sign of life can be seen. */
  readForATurn(): void;
  close(code: CloseCode, text: string, reason: CloseReason): void;
  /** Cuts the connection without a closing handshake. */
  terminate(reason: CloseReason): void;
}

/** Close codes this server sends (RFC 6455 section 7.4, and the IANA registry for 1013). */
export const closeCodes = {
  normal: 1000,
  goingAway: 1001,
  policy: 1008,
  tryAgainLater: 1013,
} as const;
export type CloseCode = (typeof closeCodes)[keyof typeof closeCodes];
