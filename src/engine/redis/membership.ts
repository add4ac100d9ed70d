import type { Renewed } from "./inside/inside.ts";
import type { RedisEngineOptions, RedisNode } from "./redis.ts";
import type { Store } from "./store.ts";

/** How many entries the node reads from its stream at a time. */
const readAtOnce = 500;
/** Read entries are deleted at the next renewal, or at once when they exceed this many bytes. */
const trimAfterBytes = 262_144;

/**
 * A node's lease, which covers all its seats, and its stream of events. Each entry is read once and in
 * order, even across reconnects. If Redis has forgotten the stream or has gone back in time, new entries get
 * ids above the last one read, so the node does not skip them.
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
    // Lua cannot distinguish an empty list from an empty object.
    const gone = Object.values(renewed.gone);
    if (gone.length > 0) node.gone(gone);
    node.kept(Object.values(renewed.seats));
    if (!renewed.wentOn) node.lapsed();
  }

  /** Renews the lease until Redis has reported all seats of this node. */
  async renewAndCompare(): Promise<void> {
    this.cursor = "0";
    do await this.renew();
    while (this.cursor !== "0");
  }

  /** The last id read, and the bytes read since the last call. The caller has to trim them. */
  takeRead(): [read: string, bytes: string] {
    const { read, bytes } = this;
    this.bytes = 0;
    return [read, String(bytes)];
  }

  /** Reads the stream until the connection is lost. */
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
