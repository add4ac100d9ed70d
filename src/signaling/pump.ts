import { andThen } from "../base/maybe-promise.ts";
import type { Mail, Mailboxes, Seat } from "../engine/engine.ts";
import { mailFrame } from "../protocol/frames.ts";
import type { Tally } from "../telemetry/tally.ts";
import type { Connection } from "./context.ts";

/** How much mail is read at a time, bytes of payload. */
const batchBytes = 65_536;

/**
 * Sends stored mail to one connection: notified of mail, it reads until nothing is left. Each mail is
 * sent once and in order, however many notifications come, and only while the connection has room.
 */
export class Pump {
  /** The highest seq sent on this connection. */
  private sent = 0;
  private open = false;
  /** There may be mail that was not read yet. */
  private mailWaits = false;
  private pulling = false;
  /** Notified again while pulling. */
  private again = false;
  /** Raised when the mailbox was renumbered: what is being read is out of date. */
  private numbering = 0;

  constructor(
    private readonly mailboxes: Mailboxes,
    private readonly seat: Seat,
    private readonly connection: Connection,
    private readonly frameType: "deliver" | "send",
    private readonly tally: Pick<Tally, "bytesOut">,
  ) {}

  /** The highest seq that this connection may acknowledge. */
  get sentUpTo(): number {
    return this.sent;
  }

  /** Without a hello: only mail after `seq`. */
  openAfter(seq: number): void {
    this.open = true;
    this.sent = seq;
    this.pull();
  }

  /** With a hello: everything that is stored and was not yet sent on this connection. */
  openAll(): void {
    this.open = true;
    this.pull();
  }

  /** The mailbox's seqs moved by `moved`; `before` is now the seq before its oldest mail. */
  renumbered(moved: number, before: number): void {
    this.numbering++;
    this.sent = Math.max(this.sent + moved, before);
    this.mailWaits = true;
  }

  /** There is mail that may not have been read yet. */
  mailStored(): void {
    this.mailWaits = true;
    this.again = this.pulling;
    this.pull();
  }

  /** There may be room for mail. */
  pull(): void {
    if (!this.open || !this.mailWaits || this.pulling) return;
    this.pulling = true;
    for (;;) {
      this.again = false;
      if (!this.connection.hasRoom()) break;
      const { numbering } = this;
      const batch = this.mailboxes.read(this.seat, this.sent, batchBytes);
      if (batch instanceof Promise) {
        void batch.then(
          (mails) => this.pulled(mails, numbering),
          () => {
            this.pulling = false;
            if (this.again) this.pull();
          },
        );
        return;
      }
      this.deliver(batch);
      if (!this.mailWaits) break;
    }
    this.pulling = false;
  }

  private pulled(mails: readonly Mail[], numbering: number): void {
    this.pulling = false;
    if (numbering === this.numbering) this.deliver(mails);
    this.pull();
  }

  private deliver(mails: readonly Mail[]): void {
    this.mailWaits = mails.length > 0 || this.again;
    for (const { seq, from, payload } of mails) {
      const frame = mailFrame(this.frameType, seq, from, payload);
      this.tally.bytesOut.send += this.connection.send(frame);
      this.sent = seq;
    }
  }
}

/** Carries out a hello: the mailbox is renumbered if need be, then the pump runs. */
export function sayHello(mailboxes: Mailboxes, seat: Seat, pump: Pump, upTo: number | undefined) {
  if (upTo === undefined) return pump.openAll();
  return andThen(mailboxes.hello(seat, upTo), ({ moved, before }) => {
    if (moved !== 0) pump.renumbered(moved, before);
    pump.openAll();
  });
}
