import type { Renewed } from "./inside/inside.ts";
import type { RedisEngineOptions, RedisNode } from "./redis.ts";
import type { Store } from "./store.ts";

/** What the node reads of its stream at a time, entries. */
const readAtOnce = 500;
/** Entries that were read are deleted at the next renewal, or at once when they are more bytes than this. */
const trimAfterBytes = 262_144;

/**
 * A node among the others: one lease for all of its seats, and the stream of events for it. An entry is
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
    private readonly options: Pick<RedisEngineOptions, "clock" | "leaseMs">,
    private readonly stream: string,
    private readonly node: RedisNode,
  ) {}

  async renew(): Promise<void> {
    const { node } = this;
    const { clock, leaseMs } = this.options;
    const askedAt = clock.monotonicMs();
    const args = [...this.takeRead(), this.cursor, String(node.freshAbove(0))];
    const renewed = JSON.parse(await this.store.call("renew", args)) as Renewed;
    node.freshAbove(renewed.fresh);
    this.leasedUntil = askedAt + leaseMs;
    this.cursor = renewed.cursor;
    if (this.read === "") this.read = renewed.from;
    // Lua does not tell an empty list from an empty object.
    const gone = Object.values(renewed.gone);
    if (gone.length > 0) node.gone(gone);
    node.kept(Object.values(renewed.seats));
    if (!renewed.wentOn) node.lapsed();
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
    while (reader === this.readers) {
      const entries = await this.store
        .read(this.stream, this.read, readAtOnce)
        .catch(() => undefined);
      if (entries === undefined || reader !== this.readers) return;
      for (const [id, [, text = ""]] of entries) {
        this.read = id;
        this.bytes += Buffer.byteLength(text);
        if (text === "gap") this.node.lapsed();
        else this.node.heard(text);
      }
      if (this.bytes > trimAfterBytes) void this.renew().catch(() => {});
    }
  }

  stopReading(): void {
    this.readers++;
  }
}
