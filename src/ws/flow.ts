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
 * A paused socket is read for a turn this often, so that its end is seen: or less often, where many
 * are paused. A pause also ends with its reason, within SLOW_PEER_TIMEOUT of a receiver that takes
 * nothing, and a newcomer for the seat brings a turn of its own.
 */
const turnEveryMs = 5_000;
/**
 * Turns of two sockets are this far apart: each can bring half a megabyte of frames, which take 3 ms.
 * At 20 turns a second, one frame in 20 of everybody else's waited for one.
 */
const turnStepMs = 500;

/** A socket that is to be closed has this long to take what is unsent; then it is cut. */
export const closingMs = 5_000;
/** The runtime keeps what is unsent to a client that has sent a close frame for this long at most. */
export const lingerMs = 8_000;

/**
 * What the runtime may queue for one socket before it drops frames: the high mark, what a sender's
 * last chunk can add after it was paused, and the chunks of its turns until a peer that
 * takes nothing is closed.
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
 *               any       --no byte taken in time-> closing 1013
 *               any       --close-->                closing     nothing is sent or read any more
 *               closing   --all was taken-->        closed
 *               closing   --time, no space-->       cut
 *     sender    reading   --pause-->                paused      frames already read are still forwarded
 *               paused    --every 5 s, probe-->     turn        read until it is paused again
 *               turn      --pause-->                paused
 *               paused, turn --no reason left-->    reading
 */
export class Flow {
  /** Past this many unsent bytes of a socket, its senders are paused. */
  readonly highMark: number;
  /** Below it, senders are resumed and mail is pulled. */
  readonly lowMark: number;
  /** Sockets with something unsent when last looked at. */
  private readonly behind = new Set<PeerSocket>();
  /** Sockets that were given something since the last tick. */
  private given: PeerSocket[] = [];
  private readonly paused = new Set<PeerSocket>();
  private readonly tickMs: number;
  private readonly ticksToClose: number;
  private readonly ticksToTurn: number;
  private readonly ticksToCut: number;
  private tick = 0;
  /** Paused sockets whose turn of this round is still to come. */
  private awaitingTurn: PeerSocket[] = [];
  private cancelStep: Cancel | undefined;
  private readonly stopTicking: Cancel;

  constructor(
    readonly limits: FlowLimits,
    /** Bytes of all sockets: past it the fullest is closed, past a client's or site's its fullest. */
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

  /** Unsent bytes of a socket; remembers them. */
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

  /** More is unsent to this socket: closes the fullest socket of a client that is past its share. */
  private keepShares(socket: PeerSocket): void {
    const full = this.unsent.full(socket.client.accounts, 0);
    if (full !== undefined) this.closeFullest("client_buffers_full", full);
    else if (this.unsent.bound([], 0) === "all") this.closeFullest("buffers_full");
  }

  /** A frame went to the socket. */
  published(socket: PeerSocket, bytes: number): void {
    this.tally.frameSizeOut.observe(bytes);
    this.gave(socket);
  }

  /**
   * The runtime has something for the socket. What of it stays unsent shows only after this turn: the
   * next tick looks, as perhaps nothing follows that would.
   */
  gave(socket: PeerSocket): void {
    if (socket.isGiven) return;
    socket.isGiven = true;
    this.given.push(socket);
  }

  /** The socket has taken bytes. */
  drained(socket: PeerSocket): void {
    socket.progressTick = this.tick;
    this.relieve(socket);
  }

  /** Resumes the senders to this socket, if it has room again. */
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

  /** A frame was not queued although the limits leave room for all that can come: never silently. */
  overrun(socket: PeerSocket): void {
    this.tally.drops.overrun++;
    socket.close("slow_peer");
  }

  /**
   * Closes the socket once it has taken what is unsent. A client that reads nothing reads no close
   * frame behind it either, and the runtime would keep all of it, for as long as that client likes,
   * and show nothing. Until then it counts, and nothing is read.
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
   * The socket is closed. What was unsent to a client that closed it by itself counts on for as long
   * as the runtime keeps it.
   */
  closed(socket: PeerSocket, abruptly: boolean): void {
    const unsent = socket.unsent - (socket.quiet?.bytes ?? 0);
    this.forget(socket);
    if (abruptly || unsent === 0) return;
    this.count(socket, unsent);
    this.clock.after(lingerMs, () => this.count(socket, 0));
  }

  /** It is closed, or will be at once. */
  forget(socket: PeerSocket): void {
    socket.quiet = undefined;
    if (socket.unsent > 0) this.count(socket, 0);
    this.behind.delete(socket);
    socket.isGiven = false;
    this.release(socket);
    if (socket.closing !== undefined) socket.ws?.resume();
    socket.closing = undefined;
  }

  /** Its senders need not wait any more, nor it for others. */
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
      // One that is behind is looked at below, one that is closed not at all.
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
    // One that sends too fast is read again soon by itself; a turn would let it send more.
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
   * Makes space for what is unsent in all, or to one account's sockets: those that are closing are
   * cut, and if that is not enough, the fullest of the others is closed.
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
