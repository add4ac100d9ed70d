import type { Server, WebSocketHandler } from "bun";
import type { Client } from "../admission/clients.ts";
import type { SocketLimits } from "../admission/socket-limits.ts";
import type { PeerIdentity, SignalingContext } from "../signaling/context.ts";
import { Peer } from "../signaling/peer.ts";
import { backpressureLimit, Flow, type FlowLimits } from "./flow.ts";
import { startHeartbeat } from "./heartbeat.ts";
import { PeerSocket, type Socket } from "./peer-socket.ts";
import { QuietTimer, quietMs } from "./quiet.ts";

/** What an upgrade request says. */
export interface Upgrading {
  readonly identity: PeerIdentity;
  /** Its open and its messages are tasks of their own: it misses nothing that it is sent at once. */
  readonly isBrowser: boolean;
}

export interface Sockets {
  /** The handlers for `Bun.serve`. */
  readonly handler: WebSocketHandler<PeerSocket>;
  /** What an upgraded socket will carry. */
  newSocket(upgrade: Upgrading, client: Client, server: Server<PeerSocket>): PeerSocket;
  /**
   * Sends every socket away, spread over `spreadMs`: the server is going. Resolves when the last
   * one is gone; a client that does not answer the close is cut. `pass` lets real time pass.
   */
  drain(spreadMs: number, pass: (ms: number) => Promise<void>): Promise<void>;
  /** Stops the timers. */
  stop(): void;
}

/** Stands for bytes that are no text: it is no JSON either. */
const notText = "\0";
/** How soon a client may come back to a server that drains: at once, to its successor. */
const retryAfterDrainMs = 250;
/**
 * Pings and pongs one socket may send in a turn of the event loop. The runtime answers pings by
 * itself, and hands over all that it has read: 80,000 in a turn, whether the socket is paused or
 * not. Only closing it ends that.
 */
const maxControlsPerTurn = 200;
const drainStepMs = 20;
/** How long a client may take to answer a close, which may have waited until the client listened. */
const closingGraceMs = quietMs + 200;

/** Bun's sockets, turned into peers. */
export function createSockets(
  context: SignalingContext,
  limits: FlowLimits,
  socketLimits: SocketLimits,
  onError: (error: unknown) => void,
): Sockets {
  const { tally, clock, connectionLog } = context;
  const flow = new Flow(limits, tally, clock);
  const heartbeat = startHeartbeat(context.heartbeatMs, clock);
  const quietTimer = new QuietTimer(clock);
  let open = 0;
  const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

  /** Binary frames that hold UTF-8 count as text; others as text that says nothing. */
  function textOf(message: string | Buffer): string {
    if (typeof message === "string") return message;
    try {
      return utf8.decode(message);
    } catch {
      return notText;
    }
  }

  let turn = 1;
  let turnEnds = false;

  /** Counts a ping or pong. */
  function countControl(socket: PeerSocket): void {
    if (!turnEnds) {
      turnEnds = true;
      setImmediate(() => {
        turnEnds = false;
        turn++;
      });
    }
    if (socket.controlsTurn !== turn) {
      socket.controlsTurn = turn;
      socket.controls = 0;
    }
    if (++socket.controls <= maxControlsPerTurn) return;
    socket.close("control_frames");
    // Behind unread pongs the close would wait, and they would go on to grow.
    if (socket.closing !== undefined) socket.terminate("control_frames");
  }

  const handler: WebSocketHandler<PeerSocket> = {
    data: undefined as unknown as PeerSocket,
    maxPayloadLength: limits.wsMaxMsgBytes,
    backpressureLimit: backpressureLimit(limits),
    // Bun's own timer never ends a socket that is being sent to; the heartbeat does.
    idleTimeout: 0,
    sendPings: false,
    perMessageDeflate: false,

    open(ws: Socket) {
      const socket = ws.data;
      socket.ws = ws;
      tally.connections++;
      open++;
      socketLimits.opened(socket.client.accounts);
      socket.openedAt = clock.monotonicMs();
      socket.heardAt = socket.openedAt;
      if (connectionLog) {
        socket.id = (tally.connections % 36 ** 6).toString(36);
        connectionLog.joined(socket.id, socket.identity, socket.client.address);
      }
      heartbeat.add(socket);
      if (socket.quiet) quietTimer.add(socket);
      socket.peer?.join();
    },

    message(ws: Socket, message) {
      const socket = ws.data;
      socket.heardAt = clock.monotonicMs();
      socket.frames++;
      if (connectionLog) socket.bytes += Buffer.byteLength(message);
      socket.heard();
      socket.peer?.received(textOf(message));
    },

    ping(ws: Socket) {
      const socket = ws.data;
      countControl(socket);
      socket.heardAt = clock.monotonicMs();
      // Unlike a pong, which a client's library sends by itself, it says that the client is there.
      socket.heard();
    },

    pong(ws: Socket, data) {
      const socket = ws.data;
      countControl(socket);
      socket.heardAt = clock.monotonicMs();
      const text = data.toString();
      if (socket.beatAnswered(text, socket.heardAt)) {
        tally.roundTripSeconds.observe(socket.roundTripMs / 1000);
      }
      socket.peer?.pong(text);
    },

    drain(ws: Socket) {
      const socket = ws.data;
      socket.heardAt = clock.monotonicMs();
      socket.peer?.progressed();
      flow.drained(socket);
    },

    close(ws: Socket, code, reason) {
      const socket = ws.data;
      open--;
      socketLimits.closed(socket.client.accounts);
      heartbeat.remove(socket);
      const why = socket.ends(isProtocolError(code, reason) ? "protocol" : "client");
      flow.closed(socket, code === abnormalClosure);
      socket.peer?.closed();
      const { id, identity, frames, bytes } = socket;
      const ms = Math.round(clock.monotonicMs() - socket.openedAt);
      connectionLog?.left(id, identity, { why, ms, frames, bytes });
    },

    error(error) {
      onError(error);
    },
  };

  return {
    handler,
    newSocket({ identity, isBrowser }, client, server) {
      const socket = new PeerSocket(identity, client, server, flow);
      if (isBrowser) socket.heard();
      socket.peer = new Peer(identity, socket, context, client);
      return socket;
    },
    async drain(spreadMs, pass) {
      const all = [...heartbeat.all()];
      for (const socket of all) socket.peer?.draining(retryAfterDrainMs);
      const steps = Math.max(1, Math.ceil(spreadMs / drainStepMs));
      const perStep = Math.ceil(all.length / steps);
      for (let from = 0; from < all.length; from += perStep) {
        if (from > 0) await pass(drainStepMs);
        for (const socket of all.slice(from, from + perStep)) {
          socket.close("shutdown");
        }
      }
      for (let waited = 0; open > 0 && waited < closingGraceMs; waited += drainStepMs) {
        await pass(drainStepMs);
      }
      for (const socket of heartbeat.all()) socket.terminate("shutdown");
    },
    stop() {
      heartbeat.stop();
      flow.stop();
    },
  };
}

/** What the runtime reports where a connection ended without a closing handshake (RFC 6455 section 7.1.5). */
const abnormalClosure = 1006;

/** Bun closes such sockets itself and reports 1006 with a text, where a lost network has none. */
function isProtocolError(code: number, reason: string): boolean {
  return code === abnormalClosure && reason !== "";
}
