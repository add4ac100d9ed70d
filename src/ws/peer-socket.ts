import type { Server, ServerWebSocket } from "bun";
import type { Client } from "../admission/clients.ts";
import type { CloseReason, ServerClose } from "../protocol/closes.ts";
import type { Connection, PauseReason, PeerIdentity } from "../signaling/context.ts";
import type { Member, Served, Share } from "../signaling/fair-queue.ts";
import type { Peer } from "../signaling/peer.ts";
import type { Flow } from "./flow.ts";
import { Quiet } from "./quiet.ts";

/** Bun's socket, with a `PeerSocket` as its data. */
export type Socket = ServerWebSocket<PeerSocket>;

/** A close that waits for unsent bytes. */
interface Closing {
  readonly reason: ServerClose;
  /** The tick of flow control at which the socket is cut. */
  readonly cutAt: number;
}

/**
 * One socket, as signaling uses it, with the state of flow control and heartbeat. It is one flat object,
 * so that a frame needs few property accesses.
 */
export class PeerSocket implements Connection {
  id = "";
  openedAt = 0;
  /** Messages received, and their bytes. Bytes are only counted for the connection log. */
  frames = 0;
  bytes = 0;
  /** The room and side; undefined while it has no room. */
  identity: PeerIdentity | undefined;
  private topic = "";
  private inTopic = false;
  /** Set when the socket opens. */
  ws: Socket | undefined;
  peer: Peer | undefined;
  /** Frames that wait until the client listens; undefined once it does. */
  quiet: Quiet | undefined = new Quiet(false);
  /** Why it is being closed, or was. */
  closeReason: CloseReason | undefined;
  heardAt = 0;
  /** A ping to send when the socket opens; empty: no ping. */
  private pingAtOpen = "";
  /** Its place on the heartbeat's wheel. */
  slot = 0;
  /** The heartbeat's last ping while its pong is awaited; otherwise empty. */
  beat = "";
  /** When the last ping went out, in ms of the monotonic clock. */
  beatAt = 0;
  roundTripMs = 0;
  /** Bytes of all frames sent to it. */
  private sentBytes = 0;
  /** Bytes sent before the ping `beat`. */
  private sentBeforeBeat = 0;
  /** Bytes sent before the last ping that it answered: it has read them. */
  private readBytes = 0;

  /** Pings and pongs that came in the event loop turn `controlsTurn`. */
  controls = 0;
  controlsTurn = 0;

  // Set by the fair queue.
  share: Share | undefined;
  before: Member | Share | undefined;
  after: Member | Share | undefined;
  inbox: Served | undefined;
  busyUntil = 0;

  // Set by flow control.
  unsent = 0;
  /** Something was sent to it since flow control's last tick. */
  isGiven = false;
  progressTick = 0;
  /** A sender waits for this socket. */
  congested = false;
  paused = 0;
  /** It is paused, but being read for a turn. */
  turn = false;
  /** Its close, while that waits for unsent bytes. */
  closing: Closing | undefined;

  constructor(
    readonly client: Client,
    private readonly server: Server<PeerSocket>,
    private readonly flow: Flow,
    /** A browser delivers `open` and messages in separate tasks, so it loses no early frame. */
    readonly isBrowser = false,
  ) {}

  enters(identity: PeerIdentity | undefined): void {
    this.identity = identity;
    if (identity) this.topic = `${identity.appId}/${identity.side}`;
  }

  /** The socket is open. It got its seat before the `101`, and may have lost it again. */
  opened(ws: Socket, monotonicMs: number): void {
    this.ws = ws;
    this.openedAt = monotonicMs;
    this.heardAt = monotonicMs;
    if (this.inTopic) ws.subscribe(this.topic);
    if (this.pingAtOpen !== "") ws.ping(this.pingAtOpen);
    // It was terminated before it opened.
    if (this.quiet === undefined) ws.terminate();
  }

  send(text: string): number {
    if (this.closeReason !== undefined) return 0;
    return this.quiet === undefined ? this.write(text) : this.wait(this.quiet, text);
  }

  sendLater(text: Promise<string>): void {
    if (this.closeReason !== undefined) return;
    this.quiet ??= new Quiet(true);
    const { quiet } = this;
    const put = quiet.keepPlace();
    void text.then((known) => {
      put(known);
      if (this.quiet !== quiet) return;
      this.flow.look(this);
      if (quiet.isOver) this.endQuiet(quiet);
    });
  }

  /** Its client listens: it sent a frame or a ping, or `quietMs` are over. */
  heard(): void {
    const { quiet } = this;
    if (quiet === undefined || quiet.isHeard) return;
    quiet.isHeard = true;
    if (quiet.isOver) this.endQuiet(quiet);
  }

  private endQuiet(quiet: Quiet): void {
    this.quiet = undefined;
    const known = quiet.known();
    const sendAll = () => {
      for (const text of known) this.write(text);
    };
    if (known.length === 1) sendAll();
    else this.ws?.cork(sendAll);
    if (quiet.close !== undefined) this.flow.close(this, quiet.close);
    else this.flow.drained(this);
  }

  private wait(quiet: Quiet, text: string): number {
    const bytes = Buffer.byteLength(text);
    quiet.add(text, bytes);
    this.flow.look(this);
    return bytes;
  }

  private write(text: string): number {
    const queued = this.ws?.send(text) ?? 0;
    if (queued === 0 && this.ws?.readyState !== WebSocket.OPEN) return 0;
    const bytes = this.took(text, queued);
    this.flow.look(this);
    return bytes;
  }

  /** Counts a text. `queued`: the runtime's answer. Its bytes; -1 under backpressure; 0 if it was dropped. */
  private took(text: string, queued: number): number {
    if (queued === 0) {
      this.flow.overrun(this);
      return 0;
    }
    const bytes = queued > 0 ? queued : Buffer.byteLength(text);
    this.sentBytes += bytes;
    this.flow.published(this, bytes);
    return bytes;
  }

  relay(text: string): number {
    const { quiet } = this;
    if (quiet !== undefined) {
      const bytes = this.send(text);
      // `send` may have closed this socket. Then its senders need not wait.
      const isOpen = this.closeReason === undefined;
      if (isOpen && quiet.isFull(this.flow.highMark)) this.congested = true;
      return bytes;
    }
    const unsent = this.flow.look(this);
    // `look` may have closed this socket as the fullest. Then its senders need not wait.
    if (this.closeReason !== undefined) return 0;
    if (unsent > this.flow.highMark) this.congested = true;
    return this.took(text, this.server.publish(this.topic, text));
  }

  unreadBytes(): number {
    return this.sentBytes - this.readBytes;
  }

  hasRoom(): boolean {
    return this.quiet === undefined && (this.ws?.getBufferedAmount() ?? 0) <= this.flow.lowMark;
  }

  joinTopic(): void {
    this.inTopic = true;
    this.ws?.subscribe(this.topic);
  }

  leaveTopic(): void {
    if (this.inTopic && this.ws?.readyState === WebSocket.OPEN) this.ws.unsubscribe(this.topic);
    this.inTopic = false;
  }

  ping(nonce: string): void {
    if (this.ws) this.ws.ping(nonce);
    else this.pingAtOpen = nonce;
    this.flow.gave(this);
  }

  /** A ping of the heartbeat, at `monotonicMs`. */
  beats(nonce: string, monotonicMs: number): void {
    this.beat = nonce;
    this.beatAt = monotonicMs;
    this.sentBeforeBeat = this.sentBytes;
    this.ping(nonce);
  }

  /** Returns whether this is the pong of the last beat. If so, updates the round trip. */
  beatAnswered(pong: string, monotonicMs: number): boolean {
    if (pong === "" || pong !== this.beat) return false;
    this.beat = "";
    this.roundTripMs = monotonicMs - this.beatAt;
    this.readBytes = this.sentBeforeBeat;
    return true;
  }

  pause(reason: PauseReason): void {
    this.flow.pause(this, reason);
  }

  resume(reason: PauseReason): void {
    this.flow.resume(this, reason);
  }

  readForATurn(): void {
    this.flow.readForATurn(this);
  }

  close(reason: ServerClose): void {
    if (this.closeReason !== undefined) return;
    this.ends(reason);
    const { quiet } = this;
    if (quiet === undefined) this.flow.close(this, reason);
    else {
      quiet.close = reason;
      this.flow.release(this);
      if (quiet.isOver) this.endQuiet(quiet);
    }
    // The runtime reports the close only once the socket is closed.
    this.peer?.closed();
  }

  terminate(reason: CloseReason): void {
    this.ends(reason);
    this.flow.forget(this);
    this.ws?.terminate();
  }

  /** Sets the close reason, after which nothing is sent. The first reason counts and is returned. */
  ends(reason: CloseReason): CloseReason {
    if (this.closeReason !== undefined) return this.closeReason;
    this.closeReason = reason;
    this.flow.tally.closes[reason]++;
    return reason;
  }
}
