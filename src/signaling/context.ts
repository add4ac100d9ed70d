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

/** What every peer of a server shares. */
export interface SignalingContext {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly tally: Tally;
  /** Usually undefined: it logs lines that grow with the traffic. */
  readonly connectionLog?: ConnectionLog | undefined;
  readonly heartbeatMs: number;
  readonly wsMaxMsgBytes: number;
  /** How long a connection may be without a room. */
  readonly roomTtlMs: number;
  readonly askForRoom: AskForRoom;
  readonly describeNoSeat: (why: NoSeat, client: Client) => RefusedRoom;
  /** Frames a second that one peer may send; 0: no limit, nor shares of the work. */
  readonly framesPerSec: number;
  readonly fairQueue: FairQueue;
  /** For the welcome. Never rejects. */
  readonly iceServers: (
    appId: AppId,
    side: Side,
    client: Client,
  ) => MaybePromise<readonly IceServer[]>;
}

/** Room, side and client of a connection, checked. */
export interface PeerIdentity {
  readonly appId: AppId;
  readonly side: Side;
  /** Empty: the client sent no sid. */
  readonly sid: string;
  /** The URL had a `sid`, even an empty one: its mail is called `deliver`, that of others `send`. */
  readonly mailboxClient: boolean;
  /** The client offered `nt.v2`. */
  readonly v2: boolean;
}

/** A socket got the room that it asked for. `frame`, sent before the welcome, reports it. */
export interface Entered {
  readonly identity: PeerIdentity;
  readonly frame: string | undefined;
}

/** It got no room, and may ask again. */
export interface RefusedRoom {
  readonly code: FrameFault;
  readonly detail: string;
  readonly retryAfterMs?: number | undefined;
}

/** Answers a frame by which a socket without a room asks for one. Rejects when the engine cannot be reached. */
export type AskForRoom = (
  type: RoomRequest,
  frame: Record<string, unknown>,
  client: Client,
) => MaybePromise<Entered | RefusedRoom>;

/** Why a connection is paused. It is read from again when no reason is left. */
export const pauseReasons = { slowPeer: 1, inbox: 2, rate: 4 } as const;
export type PauseReason = (typeof pauseReasons)[keyof typeof pauseReasons];

/** What signaling needs of a socket. Nothing here throws, even on a closed one. */
export interface Connection extends Member {
  /** Names the connection in the log. */
  readonly id: string;
  /** Its room and side; undefined without a room. */
  readonly identity: PeerIdentity | undefined;
  /** From now on it has this room; undefined: no room. */
  enters(identity: PeerIdentity | undefined): void;
  /** Sends a frame of the server's own. Answers its size in bytes. */
  send(text: string): number;
  /** As `send`, for a text that is not known yet: later sends wait for it. Never rejects. */
  sendLater(text: Promise<string>): void;
  /** Sends a relayed frame, in order with `send`. Answers its size in bytes. */
  relay(text: string): number;
  /** Too much is unsent: senders to this connection should wait. */
  readonly congested: boolean;
  /** Bytes that were sent and may not have been read yet: an upper bound, proven by pongs. */
  unreadBytes(): number;
  /** The last measured round trip, in ms; 0: not measured yet. */
  readonly roundTripMs: number;
  /** When it last sent something, or took some of what was queued for it, in ms (monotonic). */
  readonly heardAt: number;
  /** True while unsent bytes are few enough for mail to be pulled. */
  hasRoom(): boolean;
  /** Frames relayed to this connection's side reach it from now on. */
  joinTopic(): void;
  leaveTopic(): void;
  ping(nonce: string): void;
  /** Reads for a turn although paused, to see a sign of life. */
  readForATurn(): void;
  /** Closes with the code and text of the reason. */
  close(reason: ServerClose): void;
  /** Cuts the connection without a closing handshake. */
  terminate(reason: CloseReason): void;
}
