import type { Client } from "../admission/clients.ts";
import type { Clock } from "../base/clock.ts";
import type { AppId, Side } from "../base/ids.ts";
import type { MaybePromise } from "../base/maybe-promise.ts";
import type { Engine } from "../engine/engine.ts";
import type { CloseReason, ServerClose } from "../protocol/closes.ts";
import type { FrameFault, IceServer, RoomRequest } from "../protocol/frames.ts";
import type { ConnectionLog } from "../telemetry/connection-log.ts";
import type { Tally } from "../telemetry/tally.ts";
import type { NoSeat } from "./arrival.ts";
import type { FairQueue, Member } from "./fair-queue.ts";

/** Shared by all peers of a server. */
export interface SignalingContext {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly tally: Tally;
  /** Undefined unless it is turned on: it logs lines for every connection. */
  readonly connectionLog?: ConnectionLog | undefined;
  readonly heartbeatMs: number;
  readonly wsMaxMsgBytes: number;
  /** How long a connection may stay without a room. */
  readonly roomTtlMs: number;
  readonly askForRoom: AskForRoom;
  readonly describeNoSeat: (why: NoSeat, client: Client) => RefusedRoom;
  /** Frames per second that one peer may send; 0 turns off this limit and the fair queue. */
  readonly framesPerSec: number;
  readonly fairQueue: FairQueue;
  /** The ICE servers for `welcome` and `peer_joined`. Never rejects. */
  readonly iceServers: (
    appId: AppId,
    side: Side,
    client: Client,
  ) => MaybePromise<readonly IceServer[]>;
}

/** Room, side and client of a connection, validated. */
export interface PeerIdentity {
  readonly appId: AppId;
  readonly side: Side;
  /** Empty if the client sent no sid. */
  readonly sid: string;
  /** The URL had a `sid`, even an empty one. Its mail frames have the type `deliver`, otherwise `send`. */
  readonly mailboxClient: boolean;
  /** The client offered `nt.v2`. */
  readonly v2: boolean;
}

/** A socket got the room that it asked for. `frame` is sent to it before the welcome. */
export interface Entered {
  readonly identity: PeerIdentity;
  readonly frame: string | undefined;
}

/** A socket got no room. It may ask again. */
export interface RefusedRoom {
  readonly code: FrameFault;
  readonly detail: string;
  readonly retryAfterMs?: number | undefined;
}

/** Handles a room request of a socket without a room. Rejects when the engine is unreachable. */
export type AskForRoom = (
  type: RoomRequest,
  frame: Record<string, unknown>,
  client: Client,
) => MaybePromise<Entered | RefusedRoom>;

/** Reasons to pause a connection, as bits. The server reads from it again when no reason is left. */
export const pauseReasons = { slowPeer: 1, inbox: 2, rate: 4 } as const;
export type PauseReason = (typeof pauseReasons)[keyof typeof pauseReasons];

/** A socket, as signaling uses it. No method throws, even when the socket is closed. */
export interface Connection extends Member {
  /** The name of the connection in the log. */
  readonly id: string;
  /** Its room and side; undefined without a room. */
  readonly identity: PeerIdentity | undefined;
  /** Sets its room; undefined: no room. */
  enters(identity: PeerIdentity | undefined): void;
  /** Sends one of the server's own frames. Returns its size in bytes. */
  send(text: string): number;
  /** Like `send`, but the text follows later. Sends after it wait for it. `text` must not reject. */
  sendLater(text: Promise<string>): void;
  /** Sends a relayed frame, in order with `send`. Returns its size in bytes. */
  relay(text: string): number;
  /** It has too many unsent bytes: senders to this connection should wait. */
  readonly congested: boolean;
  /** Upper bound of the bytes that were sent but not yet read. A pong proves what was read. */
  unreadBytes(): number;
  /** The last measured round trip, in ms; 0: not measured yet. */
  readonly roundTripMs: number;
  /** When the client last sent something or read some of its queued bytes, in ms (monotonic). */
  readonly heardAt: number;
  /** Whether few enough bytes are unsent to send mail. */
  hasRoom(): boolean;
  /** Subscribes to the frames relayed to its side. */
  joinTopic(): void;
  leaveTopic(): void;
  ping(nonce: string): void;
  /** Reads briefly although it is paused, to see a sign of life. */
  readForATurn(): void;
  /** Closes it with the close code and text of the reason. */
  close(reason: ServerClose): void;
  /** Cuts the connection without a closing handshake. */
  terminate(reason: CloseReason): void;
}
