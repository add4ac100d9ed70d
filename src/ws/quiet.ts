import type { Clock } from "../base/clock.ts";
import type { ServerClose } from "../protocol/closes.ts";
import type { PeerSocket } from "./peer-socket.ts";

/**
 * The server sends nothing to a newcomer until the newcomer has sent something, or for this long, in ms.
 * Some clients (npm `ws`) set their listener only when the socket is open. They would lose a frame that
 * they read together with the `101`.
 */
export const quietMs = 50;
/** The shortest delay of the timer, in ms. A newcomer may wait this much longer. */
const timerStepMs = 5;
/** The sender is paused when this many frames wait. */
const fullAtFrames = 32;
/** Memory for a waiting frame in addition to its characters. */
const bytesPerFrame = 64;

/** Frames that wait, in order, until their socket may be sent something. */
export class Quiet {
  /** Undefined: the place of a text that is not known yet. */
  private readonly texts: (string | undefined)[] = [];
  private unknown = 0;
  /** Bytes of all waiting frames, with `bytesPerFrame` for each. */
  bytes = 0;
  /** The close that follows the waiting frames. */
  close: ServerClose | undefined;

  /** `isHeard`: the client listens. Then frames only wait for texts that are not known yet. */
  constructor(public isHeard: boolean) {}

  add(text: string, bytes: number): void {
    this.texts.push(text);
    this.bytes += bytes + bytesPerFrame;
  }

  /** Reserves a place for a text. Returns the function that puts it there. */
  keepPlace(): (text: string) => void {
    const place = this.texts.push(undefined) - 1;
    this.unknown++;
    return (text) => {
      this.texts[place] = text;
      this.unknown--;
      this.bytes += Buffer.byteLength(text) + bytesPerFrame;
    };
  }

  /** Whether the sender of relayed frames should wait. */
  isFull(highMark: number): boolean {
    return this.texts.length >= fullAtFrames || this.bytes > highMark;
  }

  /** Whether the waiting frames may be sent. A close does not wait for a text that is not known yet. */
  get isOver(): boolean {
    return this.isHeard && (this.unknown === 0 || this.close !== undefined);
  }

  /** The frames before the first text that is not known yet. */
  known(): readonly string[] {
    const end = this.texts.indexOf(undefined);
    return (end === -1 ? this.texts : this.texts.slice(0, end)) as string[];
  }
}

/** Ends the quiet of sockets whose clients send nothing. All wait equally long, so one timer serves all. */
export class QuietTimer {
  private waiting: PeerSocket[] = [];

  constructor(private readonly clock: Pick<Clock, "monotonicMs" | "after">) {}

  /** The socket has opened. */
  add(socket: PeerSocket): void {
    if (this.waiting.push(socket) === 1) this.wakeIn(quietMs);
  }

  private wakeIn(ms: number): void {
    this.clock.after(Math.max(timerStepMs, ms), () => this.wake());
  }

  private wake(): void {
    const before = this.clock.monotonicMs() - quietMs;
    const { waiting } = this;
    let due = 0;
    while (due < waiting.length && (waiting[due] as PeerSocket).openedAt <= before) due++;
    this.waiting = waiting.slice(due);
    const first = this.waiting[0];
    if (first !== undefined) this.wakeIn(first.openedAt - before);
    for (let i = 0; i < due; i++) (waiting[i] as PeerSocket).heard();
  }
}
