import type { Account } from "../base/account.ts";
import type { Cancel } from "../base/clock.ts";
import type { MaybePromise } from "../base/maybe-promise.ts";
import { type Connection, pauseReasons, type SignalingContext } from "./context.ts";
import { largeFrameLength, type Served } from "./fair-queue.ts";

/** A connection that sent nothing for a while may send this many seconds' worth of frames at once. */
const burstSeconds = 2;
/** A frame costs one token, and one more for each … */
const charactersPerToken = 512;
/** Tolerance for rounding. */
const almostOne = 0.999;

/** A connection whose frames have to wait is read from until this many wait … */
const pauseAtFrames = 32;
/** … and after a pause the runtime still hands over what it had read, up to this. */
const chunkBytes = 1_048_576;
/** What a frame that waits takes beside its characters: its string and its place in the queue. */
const bytesPerFrame = 64;
/** Relayed frames under way at a time, at most. Together they are no longer than one frame may be. */
const maxTogether = 64;

/** Why a frame has to wait: its client has had its share of the work, or its connection is too fast. */
type Limit = "share" | "rate";

/** Why a frame is refused: too much waits on its connection, for its client, or in all. */
type InboxRefusal = "parked_overflow" | "client_buffers_full" | "buffers_full";

/** A relayed frame that the engine is handling. Later frames need not wait: the engine keeps their order. */
interface UnderWay<T> {
  readonly mayOverlap: Promise<T>;
}

/** What a handler answers. Frames behind a promise wait for it. */
export type Handled<T = string | undefined> = MaybePromise<T> | UnderWay<T>;

/** What becomes of a frame, whether or not others may overlap with it. */
export function outcomeOf<T extends string | undefined>(handled: Handled<T>): MaybePromise<T> {
  return typeof handled === "object" && "mayOverlap" in handled ? handled.mayOverlap : handled;
}

/**
 * Keeps one connection's frames in order whatever has to be awaited in between, and hands them on no
 * faster than the connection may send, nor than its client's share of the work allows. While nothing
 * is awaited, a frame is handled in the turn in which it came and nothing is queued.
 */
export class Inbox implements Served {
  /** Undefined while nothing waits, as nearly always. */
  private waiting: string[] | undefined;
  /** What stands before this index was handled. */
  private head = 0;
  private waitingBytes = 0;
  /** Held: frames are queued until `release`. Parked: and few, as there may never be a seat. */
  private state: "open" | "held" | "parked" = "open";
  private busy = false;
  /** Relayed frames that were handed on in this turn and whose outcomes are awaited. */
  private together: Promise<unknown>[] | undefined;
  private togetherCharacters = 0;
  /** Set while frames wait because the connection sends too fast. */
  private slowed: Cancel | undefined;
  /** What the connection may still send, refilled by FRAMES_PER_SEC. */
  private tokens: number;
  private filledAt: number;

  constructor(
    private readonly connection: Connection,
    private readonly options: Pick<
      SignalingContext,
      "clock" | "wsMaxMsgBytes" | "framesPerSec" | "fairQueue"
    >,
    /** Gets each frame when its turn has come; the next one waits while it answers a promise. */
    private readonly handler: { handle(text: string): Handled },
    /** Under which names the sender is counted. */
    private readonly accounts: readonly Account[],
  ) {
    connection.inbox = this;
    this.tokens = options.framesPerSec * burstSeconds;
    this.filledAt = connection.heardAt;
  }

  hold(): void {
    this.state = "held";
  }

  park(): void {
    this.state = "parked";
  }

  release(): void {
    this.state = "open";
    this.serve();
  }

  /** Handles or queues a frame, or says why it does neither. */
  push(text: string): InboxRefusal | undefined {
    const direct = this.state === "open" && !this.busy && this.waiting === undefined;
    const { heardAt } = this.connection;
    const limit = direct ? this.limitFor(text, heardAt) : undefined;
    if (direct && limit === undefined) {
      const outcome = outcomeOf(this.handle(text, heardAt));
      if (outcome instanceof Promise) this.await(outcome);
      return undefined;
    }
    const refusal = this.refusal(text);
    if (refusal !== undefined) return refusal;
    this.waiting ??= [];
    this.waiting.push(text);
    this.count(text.length + bytesPerFrame);
    const { wsMaxMsgBytes, fairQueue } = this.options;
    const isMuch = this.frames() >= pauseAtFrames || this.characters() >= wsMaxMsgBytes;
    fairQueue.received(this.connection, text.length, heardAt, isMuch);
    if (isMuch) this.connection.pause(pauseReasons.inbox);
    if (limit !== undefined) this.waitFor(limit);
    return undefined;
  }

  get nextLength(): number | undefined {
    return this.waiting?.[this.head]?.length;
  }

  serve(until?: number): void {
    try {
      this.handOn(until);
    } finally {
      if (this.together !== undefined) this.await();
    }
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
    const { wsMaxMsgBytes, fairQueue } = this.options;
    if (this.state === "parked") {
      const tooLong = this.characters() + text.length > wsMaxMsgBytes;
      if (tooLong || this.frames() >= pauseAtFrames) return "parked_overflow";
    }
    const bytes = this.waitingBytes + text.length + bytesPerFrame;
    if (bytes > 2 * wsMaxMsgBytes + chunkBytes) return "parked_overflow";
    const bound = fairQueue.queued.bound(this.accounts, 0);
    if (bound === "client") return "client_buffers_full";
    return bound === "all" ? "buffers_full" : undefined;
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
    this.options.fairQueue.queued.add(this.accounts, bytes);
  }

  private clear(): void {
    this.waiting = undefined;
    this.head = 0;
    this.count(-this.waitingBytes);
  }

  /**
   * What keeps a frame from being handled at `at` (ms, monotonic); if nothing does, it is paid for. The
   * fair queue is asked, unless it is serving this connection.
   */
  private limitFor({ length }: string, at: number, isServed?: boolean): Limit | undefined {
    const { framesPerSec, fairQueue } = this.options;
    if (framesPerSec === 0) return undefined;
    const isAdmitted = isServed ?? fairQueue.admits(this.connection, length, at);
    if (!isAdmitted) return "share";
    return this.pay(length, at) ? undefined : "rate";
  }

  /** Takes the tokens of a frame. False when there is not even one. */
  private pay(length: number, at: number): boolean {
    const { framesPerSec } = this.options;
    const earned = ((at - this.filledAt) * framesPerSec) / 1000;
    this.tokens = Math.min(framesPerSec * burstSeconds, this.tokens + earned);
    this.filledAt = at;
    if (this.tokens < almostOne) return false;
    // Large frames are paid for by the time they take.
    const isLong = length >= charactersPerToken && length <= largeFrameLength;
    this.tokens -= isLong ? 1 + Math.floor(length / charactersPerToken) : 1;
    return true;
  }

  /** Takes more tokens, for a frame that clients send seldom and that takes long. They may be owed. */
  charge(tokens: number): void {
    this.tokens -= tokens;
  }

  private handle(text: string, at: number): Handled {
    const { clock, fairQueue, framesPerSec } = this.options;
    const isCheap = at < fairQueue.calmUntil && text.length <= largeFrameLength;
    if (isCheap || framesPerSec === 0) return this.handler.handle(text);
    const startedAt = clock.monotonicMs();
    try {
      return this.handler.handle(text);
    } finally {
      fairQueue.took(this.connection, text.length, clock.monotonicMs() - startedAt);
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
      this.serve();
    });
  }

  /** Frames behind this one may be handed on in the same turn, up to a limit. */
  private goOn({ mayOverlap }: UnderWay<unknown>, characters: number): void {
    this.together ??= [];
    this.together.push(mayOverlap);
    this.togetherCharacters += characters;
    const isFull = this.together.length === maxTogether;
    if (isFull || this.togetherCharacters >= this.options.wsMaxMsgBytes) this.await();
  }

  /** `until`: the fair queue serves this connection, up to this moment (ms, monotonic). */
  private handOn(until?: number): void {
    if (this.waiting === undefined) return;
    const first = this.head;
    // What is handled may discard what waits.
    while (this.waiting && this.head < this.waiting.length && !this.busy) {
      if (this.state !== "open") return;
      const text = this.waiting[this.head] as string;
      const at = this.options.clock.monotonicMs();
      const isOneMore = at < (until ?? 0) && text.length <= largeFrameLength;
      const isServed = until === undefined ? undefined : this.head === first || isOneMore;
      const limit = this.limitFor(text, at, isServed);
      if (limit !== undefined) return this.waitFor(limit);
      this.head++;
      this.count(-text.length - bytesPerFrame);
      try {
        const done = this.handle(text, at);
        if (done instanceof Promise) this.await(done);
        else if (typeof done === "object") this.goOn(done, text.length);
      } catch (error) {
        // One frame that cannot be handled must not keep those behind it waiting for ever.
        this.options.clock.after(0, () => this.serve());
        throw error;
      }
    }
    if (this.waiting === undefined || this.head < this.waiting.length) return;
    this.clear();
    this.options.fairQueue.caughtUp(this.connection);
    this.connection.resume(pauseReasons.inbox);
    this.connection.resume(pauseReasons.rate);
  }

  /** Goes on with what waits when the limit allows it. */
  private waitFor(limit: Limit): void {
    const { clock, fairQueue, framesPerSec } = this.options;
    if (limit === "share") return fairQueue.wait(this.connection);
    if (this.slowed) return;
    this.connection.pause(pauseReasons.rate);
    // At most 20 times a second, not for each token.
    const wanted = Math.max(1, framesPerSec / 20) - this.tokens;
    this.slowed = clock.after(Math.ceil((wanted * 1000) / framesPerSec), () => {
      this.slowed = undefined;
      this.serve();
    });
  }
}
