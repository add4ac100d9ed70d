import type { AppId } from "../../base/ids.ts";
import type { SeatAddress } from "../rules/turn.ts";
import type { Renewed } from "./inside/inside.ts";
import type { Store } from "./store.ts";

/** What the node reads of its stream at a time, entries. */
const readAtOnce = 500;
/** Entries read are dropped from the stream at the next renewal, and at once when they are so many bytes. */
const trimAfterBytes = 262_144;

/**
 * A node among the others: the lease of all of its seats, and the stream of what it is told. An entry is
 * read once and in order, also over several connections. A Redis that has forgotten the stream, or is
 * older than it was, goes on above what was read: nothing that comes later is taken for something old.
 */
export class Membership {
  /** The last id read; "" before the first renewal. */
  private read = "";
  private bytes = 0;
  private cursor = "0";
  private readers = 0;
  /** When the lease ends, by the monotonic clock. */
  leasedUntil = Number.POSITIVE_INFINITY;

  constructor(
    private readonly store: Store,
    private readonly options: {
      readonly stream: string;
      readonly leaseMs: number;
      readonly monotonicMs: () => number;
      /** Takes over, and answers, what is above all tokens and stamps that are known. */
      readonly fresh: (others: number) => number;
      readonly heard: (text: string) => void;
      /** The lease had ended, or what the node was told may be lost. */
      readonly lapsed: () => void;
      readonly gone: (rooms: readonly AppId[]) => void;
      /** Seats that this node has, by what Redis keeps: of all of them, some at each renewal. */
      readonly kept: (seats: readonly SeatAddress[]) => void;
    },
  ) {}

  async renew(): Promise<void> {
    const { monotonicMs, leaseMs, fresh, gone, kept, lapsed } = this.options;
    const askedAt = monotonicMs();
    const args = [...this.takeRead(), this.cursor, String(fresh(0))];
    const renewed = JSON.parse(await this.store.call("renew", args)) as Renewed;
    fresh(renewed.fresh);
    this.leasedUntil = askedAt + leaseMs;
    this.cursor = renewed.cursor;
    if (this.read === "") this.read = renewed.from;
    // Lua does not tell an empty list from an empty object.
    if (Array.isArray(renewed.gone)) gone(renewed.gone as readonly AppId[]);
    if (Array.isArray(renewed.seats)) kept(renewed.seats as readonly SeatAddress[]);
    if (!renewed.wentOn) lapsed();
  }

  /** Renews the lease until Redis has been asked for all seats of this node. */
  async renewAndCompare(): Promise<void> {
    this.cursor = "0";
    do await this.renew();
    while (this.cursor !== "0");
  }

  /** What was read and is not trimmed yet: its last id and its bytes. Trimming it is up to the caller. */
  takeRead(): [read: string, bytes: string] {
    const { read, bytes } = this;
    this.bytes = 0;
    return [read, String(bytes)];
  }

  /** Reads the stream for as long as the connection lives. */
  async readOn(): Promise<void> {
    const reader = ++this.readers;
    const { stream, heard, lapsed } = this.options;
    while (reader === this.readers) {
      const entries = await this.store.read(stream, this.read, readAtOnce).catch(() => undefined);
      if (entries === undefined || reader !== this.readers) return;
      for (const [id, [, text = ""]] of entries) {
        this.read = id;
        this.bytes += Buffer.byteLength(text);
        if (text === "gap") lapsed();
        else heard(text);
      }
      if (this.bytes > trimAfterBytes) void this.renew().catch(() => {});
    }
  }

  stopReading(): void {
    this.readers++;
  }
}
