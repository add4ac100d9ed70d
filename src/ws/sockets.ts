import type { Server, WebSocketHandler } from "bun";
import type { Client } from "../admission/clients.ts";
import type { Ledger } from "../base/ledger.ts";
import type { CloseReason } from "../protocol/closes.ts";
import type { PeerIdentity, SignalingContext } from "../signaling/context.ts";
import { Peer } from "../signaling/peer.ts";
import { backpressureLimit, type Flow } from "./flow.ts";
import { startHeartbeat } from "./heartbeat.ts";
import { PeerSocket, type Socket } from "./peer-socket.ts";
import { QuietTimer, quietMs } from "./quiet.ts";

/** Replaces binary data that is not UTF-8. It is not JSON, so the frame is malformed. */
const notText = "\0";
/** When clients may reconnect after a drain. They reach the new process. */
const retryAfterDrainMs = 250;
const drainStepMs = 20;
/** How long a client has to answer a close. The close itself may wait for `quietMs`. */
const closingGraceMs = quietMs + 200;
/**
 * How many pings and pongs one socket may send in one event loop turn. The runtime answers pings by
 * itself, and hands over all it has read, up to 80,000 per turn, even if the socket is paused. Only a
 * close stops that.
 */
const maxControlsPerTurn = 200;

/** Bun's sockets, turned into peers. */
export class Sockets {
  /** The handlers for `Bun.serve`. */
  readonly handler: WebSocketHandler<PeerSocket>;
  private readonly heartbeat: ReturnType<typeof startHeartbeat>;
  private readonly quietTimer: QuietTimer;
  private made = 0;
  private open = 0;
  /** Counts the turns of the event loop in which control frames came. */
  private turn = 1;
  private turnEnds = false;

  constructor(
    private readonly context: SignalingContext,
    private readonly flow: Flow,
    private readonly socketLedger: Ledger,
    onError: (error: unknown) => void,
  ) {
    this.heartbeat = startHeartbeat(context.heartbeatMs, context.clock);
    this.quietTimer = new QuietTimer(context.clock);
    this.handler = {
      data: undefined as unknown as PeerSocket,
      maxPayloadLength: flow.limits.wsMaxMsgBytes,
      backpressureLimit: backpressureLimit(flow.limits),
      // Bun's own timer never closes a socket that is being sent to. The heartbeat does.
      idleTimeout: 0,
      sendPings: false,
      perMessageDeflate: false,
      open: (ws) => this.opened(ws),
      message: ({ data }, message) => this.received(data, message),
      ping: ({ data }) => this.pinged(data),
      pong: ({ data }, nonce) => this.ponged(data, nonce.toString()),
      drain: ({ data }) => this.drained(data),
      close: ({ data }, code, reason) => this.closed(data, code, reason),
      error: onError,
    };
  }

  /** Creates the data of a socket, before its upgrade. */
  newSocket(
    /** Undefined: its first frame asks for a room. */
    identity: PeerIdentity | undefined,
    client: Client,
    server: Server<PeerSocket>,
    isBrowser: boolean,
  ): PeerSocket {
    const socket = new PeerSocket(client, server, this.flow, isBrowser);
    socket.enters(identity);
    socket.openedAt = this.context.clock.monotonicMs();
    if (this.context.connectionLog) socket.id = (++this.made % 36 ** 6).toString(36);
    socket.peer = new Peer(socket, this.context, client);
    return socket;
  }

  /** Gives up a socket that has a seat or waits for one, but will not open. */
  abandon(socket: PeerSocket): void {
    this.flow.forget(socket);
    socket.peer?.closed();
    this.left(socket, "client");
  }

  private opened(ws: Socket): void {
    const socket = ws.data;
    this.context.tally.connections++;
    this.open++;
    this.heartbeat.add(socket);
    this.context.fairQueue.join(socket, socket.client.accounts);
    socket.opened(ws, this.context.clock.monotonicMs());
    if (socket.isBrowser) socket.heard();
    else this.quietTimer.add(socket);
  }

  private received(socket: PeerSocket, message: string | Buffer): void {
    const { clock, connectionLog } = this.context;
    socket.heardAt = clock.monotonicMs();
    socket.frames++;
    if (connectionLog) socket.bytes += Buffer.byteLength(message);
    if (socket.quiet) socket.heard();
    socket.peer?.received(typeof message === "string" ? message : textOf(message));
  }

  private pinged(socket: PeerSocket): void {
    // The runtime has already answered it.
    this.flow.gave(socket);
    this.countControl(socket);
    // A ping shows that the client listens. A pong does not: a library sends it by itself.
    socket.heard();
  }

  private ponged(socket: PeerSocket, nonce: string): void {
    this.countControl(socket);
    if (socket.beatAnswered(nonce, socket.heardAt)) {
      this.context.tally.roundTripSeconds.observe(socket.roundTripMs / 1000);
    }
    socket.peer?.pong(nonce);
  }

  private countControl(socket: PeerSocket): void {
    const { clock, fairQueue } = this.context;
    socket.heardAt = clock.monotonicMs();
    fairQueue.control(socket, socket.heardAt);
    if (!this.turnEnds) {
      this.turnEnds = true;
      setImmediate(() => {
        this.turnEnds = false;
        this.turn++;
      });
    }
    if (socket.controlsTurn !== this.turn) {
      socket.controlsTurn = this.turn;
      socket.controls = 0;
    }
    if (++socket.controls <= maxControlsPerTurn) return;
    // A client that sends this much also listens, so the close need not wait.
    socket.heard();
    socket.close("control_frames");
    // If the close has to wait behind unread pongs, cut the socket: the pongs would grow.
    if (socket.closing ?? socket.quiet) socket.terminate("control_frames");
  }

  private drained(socket: PeerSocket): void {
    socket.heardAt = this.context.clock.monotonicMs();
    socket.peer?.progressed();
    this.flow.drained(socket);
  }

  private closed(socket: PeerSocket, code: number, reason: string): void {
    this.open--;
    this.socketLedger.add(socket.client.accounts, -1);
    this.heartbeat.remove(socket);
    this.context.fairQueue.part(socket);
    const why = socket.ends(isProtocolError(code, reason) ? "protocol" : "client");
    this.flow.closed(socket, code === abnormalClosure);
    socket.peer?.closed();
    this.left(socket, why);
  }

  private left(socket: PeerSocket, why: CloseReason): void {
    const { clock, connectionLog } = this.context;
    const { id, identity, frames, bytes } = socket;
    const ms = Math.round(clock.monotonicMs() - socket.openedAt);
    connectionLog?.left(id, identity, { why, ms, frames, bytes });
  }

  /**
   * Closes every socket when the server stops, spread over `spreadMs`. Cuts clients that do not answer the
   * close. Resolves when all are closed. `pass` waits in real time.
   */
  async drain(spreadMs: number, pass: (ms: number) => Promise<void>): Promise<void> {
    const all = [...this.heartbeat.all()];
    for (const socket of all) socket.peer?.draining(retryAfterDrainMs);
    const steps = Math.max(1, Math.ceil(spreadMs / drainStepMs));
    const perStep = Math.ceil(all.length / steps);
    for (let from = 0; from < all.length; from += perStep) {
      if (from > 0) await pass(drainStepMs);
      for (const socket of all.slice(from, from + perStep)) socket.close("shutdown");
    }
    for (let waited = 0; this.open > 0 && waited < closingGraceMs; waited += drainStepMs) {
      await pass(drainStepMs);
    }
    for (const socket of this.heartbeat.all()) socket.terminate("shutdown");
  }

  /** Stops the timers. */
  stop(): void {
    this.heartbeat.stop();
    this.flow.stop();
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Binary frames that hold UTF-8 count as text, others as a malformed frame. */
function textOf(message: Buffer): string {
  try {
    return utf8.decode(message);
  } catch {
    return notText;
  }
}

/** The runtime's code for a connection that ended without a closing handshake (RFC 6455 section 7.1.5). */
const abnormalClosure = 1006;

/** After a protocol error Bun reports 1006 with a text. After a lost connection the text is empty. */
function isProtocolError(code: number, reason: string): boolean {
  return code === abnormalClosure && reason !== "";
}
