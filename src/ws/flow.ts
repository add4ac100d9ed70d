import type { Account } from "../base/account.ts";
import type { Cancel, Clock } from "../base/clock.ts";
import type { Ledger } from "../base/ledger.ts";
import type { Config } from "../config/config.ts";
import { closes, closeText, type ServerClose } from "../protocol/closes.ts";
import { type PauseReason, pauseReasons } from "../signaling/context.ts";
import type { Tally } from "../telemetry/tally.ts";
import type { PeerSocket } from "./peer-socket.ts";

type FlowLimits = Pick<Config, "wsBufferBytes" | "slowPeerTimeoutMs" | "wsMaxMsgBytes">;

/**
 * How often a paused socket is read for a turn, so that the server notices its end; less often if many
 * are paused. A pause also ends with its reason: a receiver that reads nothing is closed within
 * SLOW_PEER_TIMEOUT. A newcomer for the seat causes an additional turn.
 */
const turnEveryMs = 5_000;
/**
 * The time between the turns of two sockets. A turn can bring half a megabyte of frames, which take
 * 3 ms. At 20 turns per second, one in 20 frames of all other clients waited for a turn.
 */
const turnStepMs = 500;

/** A socket that is being closed has this long to read its unsent bytes. Then it is cut. */
export const closingMs = 5_000;
/** The runtime keeps unsent bytes this long at most after the client's close frame. */
export const lingerMs = 8_000;

/**
 * How many bytes the runtime may queue for one socket before it drops frames. It is the high mark, the
 * last chunk of a sender after its pause, and the chunks of the sender's turns until a receiver that
 * reads nothing is closed.
 */
export function backpressureLimit(limits: FlowLimits): number {
  const turns = Math.ceil(limits.slowPeerTimeoutMs / turnEveryMs) + 1;
  return limits.wsBufferBytes + (turns + 1) * (limits.wsMaxMsgBytes + 1_048_576);
}

/**
 * A slow receiver only slows its own senders.
 *
 *     receiver  writable  --unsent > high mark-->   congested   its sender is paused
 *               congested --unsent ≤ low mark-->    writable    its sender is resumed
 *               any       --reads no byte in time-> closing 1013
 *               any       --close-->                closing     nothing is sent or read any more
 *               closing   --has read all-->         closed
 *               closing   --timeout, no space-->    cut
 *     sender    reading   --pause-->                paused      frames already read are still forwarded
 *               paused    --every 5 s, probe-->     turn        reading until the next pause
 *               turn      --pause-->                paused
 *               paused, turn --no reason left-->    reading
 */
export class Flow {
  /** Senders to a socket with more unsent bytes are paused. */
  readonly highMark: number;
  /** Senders to a socket with at most this many unsent bytes are resumed, and its mail is sent. */
  readonly lowMark: number;
  /** Sockets that had unsent bytes at the last `look`. */
  private readonly behind = new Set<PeerSocket>();
  /** Sockets that were sent something since the last tick. */
  private given: PeerSocket[] = [];
  private readonly paused = new Set<PeerSocket>();
  private readonly tickMs: number;
  private readonly ticksToClose: number;
  private readonly ticksToTurn: number;
  private readonly ticksToCut: number;
  private tick = 0;
  /** Paused sockets that have not had their turn in this round. */
  private awaitingTurn: PeerSocket[] = [];
  private cancelStep: Cancel | undefined;
  private readonly stopTicking: Cancel;

  constructor(
    readonly limits: FlowLimits,
    /** Unsent bytes of all sockets. When it or an account's share is exceeded, the fullest socket is closed. */
    private readonly unsent: Ledger,
    readonly tally: Tally,
    private readonly clock: Clock,
  ) {
    this.highMark = limits.wsBufferBytes;
    this.lowMark = limits.wsBufferBytes / 4;
    this.tickMs = Math.min(1_000, Math.max(50, limits.slowPeerTimeoutMs / 8));
    this.ticksToClose = Math.ceil(limits.slowPeerTimeoutMs / this.tickMs);
    this.ticksToTurn = Math.max(1, Math.floor(turnEveryMs / this.tickMs));
    this.ticksToCut = Math.ceil(closingMs / this.tickMs);
    this.stopTicking = clock.every(this.tickMs, () => this.onTick());
  }

  stop(): void {
    this.stopTicking();
    this.cancelStep?.();
  }

  /** Reads and counts the unsent bytes of a socket, and returns them. */
  look(socket: PeerSocket): number {
    const unsent = (socket.ws?.getBufferedAmount() ?? 0) + (socket.quiet?.bytes ?? 0);
    if (unsent === socket.unsent) return unsent;
    if (unsent < socket.unsent || socket.unsent === 0) socket.progressTick = this.tick;
    const grows = unsent > socket.unsent;
    this.count(socket, unsent);
    if (unsent === 0) this.behind.delete(socket);
    else this.behind.add(socket);
    if (grows) this.keepShares(socket);
    return unsent;
  }

  private count(socket: PeerSocket, unsent: number): void {
    this.unsent.add(socket.client.accounts, unsent - socket.unsent);
    this.tally.bufferedBytes = this.unsent.used;
    socket.unsent = unsent;
  }

  /** Called when a socket has more unsent bytes. Closes the fullest socket if a bound is exceeded. */
  private keepShares(socket: PeerSocket): void {
    const full = this.unsent.full(socket.client.accounts, 0);
    if (full !== undefined) this.closeFullest("client_buffers_full", full);
    else if (this.unsent.bound([], 0) === "all") this.closeFullest("buffers_full");
  }

  /** A frame was sent to the socket. */
  published(socket: PeerSocket, bytes: number): void {
    this.tally.frameSizeOut.observe(bytes);
    this.gave(socket);
  }

  /**
   * The runtime has bytes for the socket. How many stay unsent shows only after this event loop turn, so
   * the next tick looks: perhaps no other frame follows.
   */
  gave(socket: PeerSocket): void {
    if (socket.isGiven) return;
    socket.isGiven = true;
    this.given.push(socket);
  }

  /** The socket has read bytes. */
  drained(socket: PeerSocket): void {
    socket.progressTick = this.tick;
    this.relieve(socket);
  }

  /** Resumes the senders to this socket if it is writable again. */
  private relieve(socket: PeerSocket): void {
    const unsent = this.look(socket);
    if (socket.closing !== undefined) {
      if (unsent === 0) this.finish(socket, socket.closing.reason);
      return;
    }
    const relieved = unsent <= this.lowMark && socket.quiet === undefined;
    const wasCongested = socket.congested;
    if (relieved) socket.congested = false;
    if (relieved) socket.peer?.drained(wasCongested);
  }

  pause(socket: PeerSocket, reason: PauseReason): void {
    if (socket.closeReason !== undefined) return;
    const reading = socket.paused === 0 || socket.turn;
    if (socket.paused === 0) this.paused.add(socket);
    socket.paused |= reason;
    socket.turn = false;
    this.tally.pausedSockets = this.paused.size;
    if (reading) socket.ws?.pause();
  }

  resume(socket: PeerSocket, reason: PauseReason): void {
    if ((socket.paused & reason) === 0) return;
    socket.paused &= ~reason;
    if (socket.paused !== 0) return;
    this.paused.delete(socket);
    this.tally.pausedSockets = this.paused.size;
    if (!socket.turn) socket.ws?.resume();
    socket.turn = false;
  }

  readForATurn(socket: PeerSocket): void {
    if (socket.paused === 0 || socket.turn) return;
    socket.turn = true;
    socket.ws?.resume();
  }

  /** The runtime dropped a frame, although `backpressureLimit` should prevent it. Closes the socket. */
  overrun(socket: PeerSocket): void {
    this.tally.drops.overrun++;
    socket.close("slow_peer");
  }

  /**
   * Closes the socket once it has read its unsent bytes. If it was closed at once, the runtime would keep
   * the bytes of a client that reads nothing, without limit and without reporting them. Until then the bytes
   * count, and nothing is read from the socket.
   */
  close(socket: PeerSocket, reason: ServerClose): void {
    const unsent = socket.ws?.getBufferedAmount() ?? 0;
    if (unsent === 0) return this.finish(socket, reason);
    this.release(socket);
    socket.ws?.pause();
    this.count(socket, unsent);
    this.behind.add(socket);
    socket.closing = { reason, cutAt: this.tick + this.ticksToCut };
  }

  private finish(socket: PeerSocket, reason: ServerClose): void {
    this.forget(socket);
    socket.ws?.close(closes[reason].code, closeText(reason, socket.identity?.side));
  }

  /**
   * The socket is closed. If the client closed it by itself, its unsent bytes count for as long as the
   * runtime may keep them.
   */
  closed(socket: PeerSocket, abruptly: boolean): void {
    const unsent = socket.unsent - (socket.quiet?.bytes ?? 0);
    this.forget(socket);
    if (abruptly || unsent === 0) return;
    this.count(socket, unsent);
    this.clock.after(lingerMs, () => this.count(socket, 0));
  }

  /** Forgets a socket that is closed, or will be at once. */
  forget(socket: PeerSocket): void {
    socket.quiet = undefined;
    if (socket.unsent > 0) this.count(socket, 0);
    this.behind.delete(socket);
    socket.isGiven = false;
    this.release(socket);
    if (socket.closing !== undefined) socket.ws?.resume();
    socket.closing = undefined;
  }

  /** Ends the waiting of its senders, and its own. */
  release(socket: PeerSocket): void {
    this.paused.delete(socket);
    this.tally.pausedSockets = this.paused.size;
    if (socket.paused !== 0 && !socket.turn) socket.ws?.resume();
    socket.paused = 0;
    socket.turn = false;
    socket.congested = false;
  }

  private onTick(): void {
    this.tick++;
    const { given } = this;
    this.given = [];
    for (const socket of given) {
      // Sockets in `behind` are looked at below. Closed ones are skipped.
      if (socket.isGiven && socket.unsent === 0) this.look(socket);
      socket.isGiven = false;
    }
    for (const socket of this.behind) {
      this.relieve(socket);
      if (socket.closing === undefined) this.closeIfSlow(socket);
      else if (this.tick >= socket.closing.cutAt) socket.terminate("slow_peer");
    }
    if (this.tick % this.ticksToTurn !== 0 || this.awaitingTurn.length > 0) return;
    this.awaitingTurn = [...this.paused];
    this.nextTurn();
  }

  private nextTurn(): void {
    let socket = this.awaitingTurn.shift();
    // A socket that is paused for its rate is read again soon anyway. A turn would let it exceed the rate.
    while (socket && (socket.paused === 0 || (socket.paused & pauseReasons.rate) !== 0)) {
      socket = this.awaitingTurn.shift();
    }
    if (socket === undefined) return;
    this.readForATurn(socket);
    if (this.awaitingTurn.length === 0) return;
    this.cancelStep = this.clock.after(turnStepMs, () => this.nextTurn());
  }

  private closeIfSlow(socket: PeerSocket): void {
    if (socket.unsent === 0 || this.tick - socket.progressTick < this.ticksToClose) return;
    this.tally.drops.slow_peer++;
    socket.close("slow_peer");
  }

  /**
   * Frees unsent bytes of all sockets, or of one account's. Cuts the sockets that are closing. If that is
   * not enough, closes the fullest of the others.
   */
  private closeFullest(reason: "buffers_full" | "client_buffers_full", of?: Account): void {
    let fullest: PeerSocket | undefined;
    for (const socket of this.behind) {
      if (of !== undefined && !socket.client.accounts.some(({ key }) => key === of.key)) continue;
      if (socket.closeReason !== undefined) socket.terminate(reason);
      else if (fullest === undefined || socket.unsent > fullest.unsent) fullest = socket;
    }
    const bound = this.unsent.bound(of === undefined ? [] : [of], 0);
    if (bound === (of === undefined ? "all" : "client")) fullest?.close(reason);
  }
}
