import type { Side } from "../../base/ids.ts";
import { type Mail, rememberedIds } from "../engine.ts";
import type { Budget } from "./budget.ts";

export interface MailboxLimits {
  readonly mailboxMaxMails: number;
  readonly mailboxMaxBytes: number;
}

/** Mail for one side of one room, in order. Seqs `before` + 1 … `last` are stored. */
export class Mailbox {
  /** The seq before the oldest stored mail: everything up to it was acknowledged. */
  before = 0;
  /** The highest seq given out. */
  last = 0;
  /** The highest seq that some connection can have processed. */
  sent = 0;
  bytes = 0;
  /** A strict sender met a full box: refuse it until the box is half empty. */
  private refusing = false;
  private mails: Stored[] = [];
  /** Index of the oldest stored mail; what stands before it is gone. */
  private head = 0;

  constructor(
    private readonly limits: MailboxLimits,
    private readonly budget: Budget,
  ) {}

  static restore(saved: SavedMailbox, limits: MailboxLimits, budget: Budget): Mailbox {
    const box = new Mailbox(limits, budget);
    box.before = saved.before;
    box.last = saved.before;
    box.sent = saved.sent;
    for (const { from, payload } of saved.mails) {
      const bytes = Buffer.byteLength(payload);
      budget.force(bytes);
      box.bytes += bytes;
      box.mails.push({ from, payload, bytes });
      box.last++;
    }
    box.refusing = saved.refusing;
    return box;
  }

  save(): SavedMailbox {
    const mails = this.mails.slice(this.head).map(({ from, payload }) => ({ from, payload }));
    return { before: this.before, sent: this.sent, refusing: this.refusing, mails };
  }

  get size(): number {
    return this.last - this.before;
  }

  /** The new mail's seq. Undefined when the box or the budget is full. */
  append(from: Side, payload: string, strict: boolean): number | undefined {
    const bytes = Buffer.byteLength(payload);
    if (this.refusing && this.halfEmpty()) this.refusing = false;
    if (this.refusing && strict) return undefined;
    const fits =
      this.size < this.limits.mailboxMaxMails &&
      this.bytes + bytes <= this.limits.mailboxMaxBytes &&
      this.budget.take(bytes);
    if (!fits) {
      this.refusing ||= strict;
      return undefined;
    }
    this.bytes += bytes;
    this.mails.push({ from, payload, bytes });
    return ++this.last;
  }

  read(after: number, maxBytes: number): Mail[] {
    const batch: Mail[] = [];
    let bytes = 0;
    for (let seq = Math.max(after, this.before) + 1; seq <= this.last; seq++) {
      const mail = this.at(seq);
      bytes += mail.bytes;
      if (bytes > maxBytes && batch.length > 0) break;
      batch.push({ seq, from: mail.from, payload: mail.payload });
      this.sent = Math.max(this.sent, seq);
    }
    return batch;
  }

  ack(upTo: number): void {
    const end = Math.min(upTo, this.last);
    for (; this.before < end; this.before++) {
      const { bytes } = this.at(this.before + 1);
      this.mails[this.head++] = gone;
      this.bytes -= bytes;
      this.budget.give(bytes);
    }
    this.sent = Math.max(this.sent, this.before);
    if (this.head > 32 && this.head * 2 > this.mails.length) {
      this.mails = this.mails.slice(this.head);
      this.head = 0;
    }
  }

  /** Numbers what is stored from `upTo` + 1 on. Answers how far the seqs moved. */
  renumber(upTo: number): number {
    const moved = upTo - this.before;
    this.before += moved;
    this.last += moved;
    this.sent = upTo;
    return moved;
  }

  /** Gives its bytes back to the budget; the box is not to be used afterwards. */
  discard(): void {
    this.budget.give(this.bytes);
  }

  private halfEmpty(): boolean {
    const { mailboxMaxMails, mailboxMaxBytes } = this.limits;
    return this.size <= mailboxMaxMails / 2 && this.bytes <= mailboxMaxBytes / 2;
  }

  private at(seq: number): Stored {
    return this.mails[this.head + seq - this.before - 1] as Stored;
  }
}

export interface SavedMailbox {
  readonly before: number;
  readonly sent: number;
  readonly refusing: boolean;
  readonly mails: { readonly from: Side; readonly payload: string }[];
}

interface Stored {
  readonly from: Side;
  readonly payload: string;
  readonly bytes: number;
}

const gone: Stored = { from: "A", payload: "", bytes: 0 };

/** The ids a side has put on its last mails, with the seqs they were given. */
export class RememberedIds {
  private readonly seqs: Map<string, number>;

  /** Oldest first. */
  constructor(seqs: Iterable<readonly [string, number]> = []) {
    this.seqs = new Map(seqs);
  }

  save(): [string, number][] {
    return [...this.seqs];
  }

  seqOf(id: string): number | undefined {
    return this.seqs.get(id);
  }

  remember(id: string, seq: number): void {
    this.seqs.set(id, seq);
    if (this.seqs.size <= rememberedIds) return;
    const oldest = this.seqs.keys().next();
    if (!oldest.done) this.seqs.delete(oldest.value);
  }
}
