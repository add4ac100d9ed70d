import { andThen, type MaybePromise } from "../base/maybe-promise.ts";
import type { Mail, Mailboxes, Seat } from "../engine/engine.ts";
import { mailFrame } from "../protocol/frames.ts";
import type { Tally } from "../telemetry/tally.ts";
import type { Connection } from "./context.ts";

/** How many bytes of payload are read at a time. */
const batchBytes = 65_536;

/**
 * Sends stored mail to one connection. After a notification it reads until no mail is left. Each mail is
 * sent once and in order, however many notifications come. Mail waits while the connection has no room.
 */
export class Pump {
  /** The highest seq sent on this connection. It may acknowledge mail up to this seq. */
  sentUpTo = 0;
  private isOpen = false;
  /** There may be mail that was not read yet. */
  private mailWaits = false;
  private isReading = false;
  /** Grows when the mailbox is renumbered: the result of a read under way is then outdated. */
  private numbering = 0;

  constructor(
    private readonly mailboxes: Mailboxes,
    private readonly seat: Seat,
    private readonly connection: Connection,
    private readonly frameType: "deliver" | "send",
    private readonly tally: Pick<Tally, "bytesOut">,
  ) {}

  /** Starts without a hello: only mail after `seq` is sent. */
  openAfter(seq: number): void {
    this.sentUpTo = seq;
    this.open();
  }

  /** Carries out a hello: sends all stored mail that was not yet sent on this connection. */
  hello(upTo: number | undefined): MaybePromise<void> {
    if (upTo === undefined) return this.open();
    return andThen(this.mailboxes.hello(this.seat, upTo), ({ moved, before }) => {
      if (moved !== 0) {
        this.numbering++;
        this.sentUpTo = Math.max(this.sentUpTo + moved, before);
        this.mailWaits = true;
      }
      this.open();
    });
  }

  private open(): void {
    this.isOpen = true;
    this.pull();
  }

  /** Mail was stored. */
  mailStored(): void {
    this.mailWaits = true;
    this.pull();
  }

  /** Sends mail as long as the connection has room for it. */
  pull(): void {
    while (this.isOpen && this.mailWaits && !this.isReading && this.connection.hasRoom()) {
      const { numbering } = this;
      this.isReading = true;
      this.mailWaits = false;
      const batch = this.mailboxes.read(this.seat, this.sentUpTo, batchBytes);
      if (batch instanceof Promise) {
        void batch.then(
          (mails) => {
            this.deliver(mails, numbering);
            this.pull();
          },
          () => this.failed(),
        );
        return;
      }
      this.deliver(batch, numbering);
    }
  }

  private deliver(mails: readonly Mail[], numbering: number): void {
    if (numbering === this.numbering) {
      if (mails.length > 0) this.mailWaits = true;
      for (const { seq, from, payload } of mails) {
        const frame = mailFrame(this.frameType, seq, from, payload);
        this.tally.bytesOut.send += this.connection.send(frame);
        this.sentUpTo = seq;
      }
    }
    this.isReading = false;
  }

  /** Reads again at the next notification, or now if one came during the read. */
  private failed(): void {
    const isNotified = this.mailWaits;
    this.isReading = false;
    this.mailWaits = true;
    if (isNotified) this.pull();
  }
}
