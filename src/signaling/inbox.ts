import type { Account } from "../base/account.ts";
import type { Cancel } from "../base/clock.ts";
import { type Connection, pauseReasons, type SignalingContext } from "./context.ts";
import { FrameBudget, largeFrameLength } from "./frame-budget.ts";

/** A connection whose frames have to wait is read from until this many wait … */
const pauseAtFrames = 32;
/** … and a runtime that was told to pause still hands over what it had read, up to this. */
const chunkBytes = 1_048_576;
/** What a frame that waits takes beside its characters: its string and its place in the queue. */
const bytesPerFrame = 64;
/** Most relayed frames that are under way at a time, unless one frame's worth of characters is. */
const maxTogether = 64;

/** Why a frame is refused: too much waits on its connection, for its client, or in all. */
export type InboxRefusal = "parked_overflow" | "client_buffers_full" | "buffers_full";

/**
 * Keeps one connection's frames in order whatever has to be awaited in between, and hands them on
 * no faster than the connection may send. While nothing is awaited, a frame is handled in the turn
 * in which it came and nothing is queued.
 *
 * It is its own budget: with thousands of busy sockets, one more object that every frame has to look
 * at is one more miss of the processor's cache.
 */
export class Inbox extends FrameBudget {
  /** Undefined while nothing waits, as nearly always. */
  private waiting: string[] | undefined;
  /** What stands before this index was handled. */
  private head = 0;
  private waitingBytes = 0;
  private held = false;
  /** The connection waits for a seat that another one has. */
  private parked = false;
  private busy = false;
  /** Relayed frames that were handed on in this turn and whose outcomes are awaited. */
  private together: Promise<unknown>[] | undefined;
  private togetherCharacters = 0;
  /** Set while frames wait because the connection sends too fast. */
  private slowed: Cancel | undefined;

  constructor(
    private readonly connection: Connection,
    private readonly options: Pick<
      SignalingContext,
      "clock" | "wsMaxMsgBytes" | "framesPerSec" | "largeFrames" | "queued"
    >,
    /** Gets each frame when its turn has come; the next one waits while it answers a promise. */
    private readonly handler: { handle(text: string): unknown },
    /** Under which names the sender is counted. */
    private readonly accounts: readonly Account[],
  ) {
    super(options.framesPerSec, options.clock);
  }

  /** Queues frames until `release`. */
  hold(): void {
    this.held = true;
  }

  /** From now on little is queued: nobody knows whether there will ever be a seat. */
  park(): void {
    this.held = true;
    this.parked = true;
  }

  release(): void {
    this.held = false;
    this.parked = false;
    this.run();
  }

  /** Handles or queues a frame, or says why it does neither. */
  push(text: string): InboxRefusal | undefined {
    const direct = !this.held && !this.busy && this.waiting === undefined;
    if (direct && this.admits(text)) {
      const done = this.handle(text);
      if (done instanceof Promise) this.await(done);
      return undefined;
    }
    const refusal = this.refusal(text);
    if (refusal !== undefined) return refusal;
    this.waiting ??= [];
    this.waiting.push(text);
    this.count(text.length + bytesPerFrame);
    const { wsMaxMsgBytes } = this.options;
    if (this.frames() >= pauseAtFrames || this.characters() >= wsMaxMsgBytes) {
      this.connection.pause(pauseReasons.inbox);
    }
    if (direct) this.slowDown(text);
    return undefined;
  }

  /**
   * The relayed frame that is being handled is under way until `done`, which its handler answers. Those
   * behind it may be handled in the same turn: the engine keeps their order.
   */
  goesOn(done: Promise<unknown>, { length }: string): void {
    this.together ??= [];
    this.together.push(done);
    this.togetherCharacters += length;
  }

  /** Drops what waits. Answers how many frames that was. */
  discard(): number {
    const dropped = this.frames();
    this.clear();
    this.slowed?.();
    this.slowed = undefined;
    return dropped;
  }

  /**
   * A parked connection gets to queue 32 frames or as many bytes as one frame may have. Any other is
   * to be slowed down, not sent away: it gets what a pause can still bring.
   */
  private refusal(text: string): InboxRefusal | undefined {
    const { wsMaxMsgBytes, queued } = this.options;
    if (this.parked) {
      const tooLong = this.characters() + text.length > wsMaxMsgBytes;
      if (tooLong || this.frames() >= pauseAtFrames) return "parked_overflow";
    }
    const bytes = this.waitingBytes + text.length + bytesPerFrame;
    if (bytes > 2 * wsMaxMsgBytes + chunkBytes) return "parked_overflow";
    if (queued.overdrawn(this.accounts) !== undefined) return "client_buffers_full";
    return queued.used > queued.most ? "buffers_full" : undefined;
  }

  /** Frames that wait. */
  private frames(): number {
    return (this.waiting?.length ?? 0) - this.head;
  }

  private characters(): number {
    return this.waitingBytes - this.frames() * bytesPerFrame;
  }

  private count(bytes: number): void {
    this.waitingBytes += bytes;
    this.options.queued.add(this.accounts, bytes);
  }

  private clear(): void {
    this.waiting = undefined;
    this.head = 0;
    this.count(-this.waitingBytes);
  }

  /** Whether the frame may be handled now; if so, it is paid for. */
  private admits(text: string): boolean {
    return (!this.isLarge(text) || this.options.largeFrames.begin()) && this.take(text.length);
  }

  private isLarge(text: string): boolean {
    return text.length > largeFrameLength && this.options.framesPerSec > 0;
  }

  private handle(text: string): unknown {
    if (!this.isLarge(text)) return this.handler.handle(text);
    const { clock, largeFrames } = this.options;
    const startedAt = clock.monotonicMs();
    try {
      return this.handler.handle(text);
    } finally {
      largeFrames.took(clock.monotonicMs() - startedAt, text.length);
    }
  }

  /** Hands nothing on until what was handed on in this turn is done, and `done` as well. */
  private await(done?: unknown): void {
    this.busy = true;
    const all = Promise.allSettled([...(this.together ?? []), done]);
    this.together = undefined;
    this.togetherCharacters = 0;
    void all.then(() => {
      this.busy = false;
      this.run();
    });
  }

  private get togetherIsFull(): boolean {
    const { together, togetherCharacters, options } = this;
    return together?.length === maxTogether || togetherCharacters >= options.wsMaxMsgBytes;
  }

  private run(): void {
    try {
      this.handOn();
    } finally {
      if (this.together !== undefined) this.await();
    }
  }

  private handOn(): void {
    if (this.waiting === undefined) return;
    // What is handled may discard what waits.
    while (this.waiting && this.head < this.waiting.length && !this.held && !this.busy) {
      const text = this.waiting[this.head] as string;
      if (!this.admits(text)) return this.slowDown(text);
      this.head++;
      this.count(-text.length - bytesPerFrame);
      try {
        const done = this.handle(text);
        const goesOn = this.together !== undefined && this.together.at(-1) === done;
        if ((done instanceof Promise && !goesOn) || this.togetherIsFull) this.await(done);
      } catch (error) {
        // One frame that cannot be handled must not keep those behind it waiting for ever.
        this.options.clock.after(0, () => this.run());
        throw error;
      }
    }
    if (this.waiting === undefined || this.head < this.waiting.length) return;
    this.clear();
    this.connection.resume(pauseReasons.inbox);
    this.connection.resume(pauseReasons.rate);
  }

  /** Reads no more, and goes on when this frame may be handled. */
  private slowDown(text: string): void {
    if (this.slowed) return;
    this.connection.pause(pauseReasons.rate);
    const goOn = () => {
      this.slowed = undefined;
      this.run();
    };
    const { clock, largeFrames } = this.options;
    const waitMs = this.waitMs();
    this.slowed =
      this.isLarge(text) && waitMs <= 0
        ? largeFrames.wait(this.accounts.at(-1)?.key ?? "", goOn)
        : clock.after(waitMs, goOn);
  }
}
