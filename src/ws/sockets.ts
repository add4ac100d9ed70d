import type { Server, WebSocketHandler } from "bun";
import type { Client } from "../admission/clients.ts";
import type { SocketLimits } from "../admission/socket-limits.ts";
import { closeCodes } from "../signaling/connection.ts";
import type { SignalingContext } from "../signaling/context.ts";
import { Peer, type PeerIdentity } from "../signaling/peer.ts";
import type { ConnectionLog } from "../telemetry/connection-log.ts";
import { backpressureLimit, Flow, type FlowLimits } from "./flow.ts";
import { startHeartbeat } from "./heartbeat.ts";
import { Newcomers } from "./newcomers.ts";
import { PeerSocket, type Socket } from "./peer-socket.ts";

export interface Sockets {
  /** The handlers for `Bun.serve`. */
  readonly handler: WebSocketHandler<PeerSocket>;
  /** What an upgraded socket will carry. */
  link(identity: PeerIdentity, client: Client, server: Server<PeerSocket>): PeerSocket;
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
/** How long a client may take to answer a close. */
const closingGraceMs = 200;

/** Bun's sockets, turned into peers. */
export function createSockets(
  context: SignalingContext,
  limits: FlowLimits,
  socketLimits: SocketLimits,
  onError: (error: unknown) => void,
  journal?: ConnectionLog,
): Sockets {
  const { tally, clock } = context;
  const flow = new Flow(limits, tally, clock);
  const heartbeat = startHeartbeat(context.heartbeatMs, clock);
  const newcomers = new Newcomers(clock);
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
  function countControl(link: PeerSocket): void {
    if (!turnEnds) {
      turnEnds = true;
      setImmediate(() => {
        turnEnds = false;
        turn++;
      });
    }
    if (link.controlsTurn !== turn) {
      link.controlsTurn = turn;
      link.controls = 0;
    }
    if (++link.controls <= maxControlsPerTurn) return;
    link.close(closeCodes.policy, "too many control frames", "control_frames");
    // Behind unread pongs the close would wait, and they would go on to grow.
    if (link.closing !== undefined) link.terminate("control_frames");
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
      const link = ws.data;
      link.ws = ws;
      tally.connections++;
      open++;
      socketLimits.opened(link.client.accounts);
      link.openedAt = clock.monotonicMs();
      link.heardAt = link.openedAt;
      if (journal) {
        link.id = (tally.connections % 36 ** 6).toString(36);
        journal.joined(link.id, link.identity.appId, link.identity.side, link.client.address);
      }
      heartbeat.add(link);
      newcomers.add(link);
    },

    message(ws: Socket, message) {
      const link = ws.data;
      link.heardAt = clock.monotonicMs();
      link.frames++;
      if (journal) link.bytes += Buffer.byteLength(message);
      link.peer?.received(textOf(message));
    },

    ping(ws: Socket) {
      const link = ws.data;
      countControl(link);
      link.heardAt = clock.monotonicMs();
      // Unlike a pong, which a client's library sends by itself, it says that the client is there.
      link.peer?.opened();
    },

    pong(ws: Socket, data) {
      const link = ws.data;
      countControl(link);
      link.heardAt = clock.monotonicMs();
      const text = data.toString();
      if (link.beatAnswered(text, link.heardAt)) {
        tally.roundTripSeconds.observe(link.roundTripMs / 1000);
      }
      link.peer?.pong(text);
    },

    drain(ws: Socket) {
      const link = ws.data;
      link.heardAt = clock.monotonicMs();
      link.peer?.progressed();
      flow.drained(link);
    },

    close(ws: Socket, code, reason) {
      const link = ws.data;
      open--;
      socketLimits.closed(link.client.accounts);
      heartbeat.remove(link);
      const why = link.ends(isProtocolError(code, reason) ? "protocol" : "client");
      flow.closed(link, code === abnormalClosure);
      link.peer?.closed();
      const { appId, side } = link.identity;
      const { id, frames, bytes } = link;
      const ms = Math.round(clock.monotonicMs() - link.openedAt);
      journal?.left(id, { appId, side, why, ms, frames, bytes });
    },

    error(error) {
      onError(error);
    },
  };

  return {
    handler,
    link(identity, client, server) {
      const link = new PeerSocket(identity, client, server, flow);
      link.peer = new Peer(identity, link, context, client);
      return link;
    },
    async drain(spreadMs, pass) {
      const links = [...heartbeat.links()];
      for (const link of links) link.peer?.draining(retryAfterDrainMs);
      const steps = Math.max(1, Math.ceil(spreadMs / drainStepMs));
      const perStep = Math.ceil(links.length / steps);
      for (let from = 0; from < links.length; from += perStep) {
        if (from > 0) await pass(drainStepMs);
        for (const link of links.slice(from, from + perStep)) {
          link.close(closeCodes.goingAway, "server going away", "shutdown");
        }
      }
      for (let waited = 0; open > 0 && waited < closingGraceMs; waited += drainStepMs) {
        await pass(drainStepMs);
      }
      for (const link of heartbeat.links()) link.terminate("shutdown");
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
