import type { AppId } from "../../base/ids.ts";
import { type Asker, Connections, type Host, type LocalSeat } from "../connections.ts";
import {
  type Engine,
  EngineFull,
  type EngineLimits,
  type Seat,
  type Sizes,
  streamTotalBytes,
} from "../engine.ts";
import { type Message, sums, type Turn } from "../rules/turn.ts";
import { RedisCodes } from "./codes.ts";
import type { Swept } from "./inside/inside.ts";
import type { TurnReply } from "./inside/turn.ts";
import { Membership } from "./membership.ts";
import { type Agreement, compareNodes } from "./node-settings.ts";
import { Store, type StoreOptions } from "./store.ts";

export interface RedisEngineOptions extends StoreOptions {
  /** The unique name of this node. */
  readonly node: string;
  /** Every key starts with it. */
  readonly prefix: string;
  /** The seats of a node become free this long after it last renewed its lease. */
  readonly leaseMs: number;
  readonly limits: EngineLimits;
  readonly agreement?: Agreement;
  /** Called for every accepted frame or mail that was then dropped. */
  readonly dropped: Turn["dropped"];
}

/**
 * The version of the data in Redis; part of every key. Nodes of different versions share no keys except
 * the settings that nodes compare, where the difference is reported.
 */
export const formatVersion = 2;
/** All data in Redis expires this long after its last node is gone. */
const keptMs = 86_400_000;
/** When Redis is back, the checks of a node's seats are spread over this time. */
const healingMs = 1_000;
const sweptAgainAfterMs = 1_000;

/**
 * An engine with its state in Redis 7 or Valkey, shared by any number of nodes. Needs one primary, with
 * or without replicas. Redis Cluster does not work, since a turn at a room also changes totals over all
 * rooms.
 *
 * Resolves after the first attempt to connect; `ready` reports whether it succeeded.
 */
export async function redisEngine(options: RedisEngineOptions): Promise<Engine> {
  const node = new RedisNode(options);
  const { store, seats, codes } = node;
  const close = await node.open();
  return {
    codes,
    rooms: seats.rooms,
    seats: {
      ...seats.seats,
      async take(newcomer, how) {
        await store.whenUp();
        return seats.seats.take(newcomer, how);
      },
    },
    relay: seats.relay,
    mailboxes: seats.mailboxes,
    now: () => store.now(),
    ready: () => store.reasonDown(),
    warning: () => store.warning(),
    async sweep() {
      if (store.isUp) await node.sweep().catch(() => {});
    },
    sizes: () => node.sizes,
    close,
  };
}

/** A node that shares a Redis with others: the host of its connections. */
export class RedisNode implements Host {
  readonly node: string;
  readonly isAlone = false;
  readonly after: Host["after"];
  readonly seats = new Connections(this);
  readonly store: Store;
  readonly codes: RedisCodes;
  /** As of the last sweep. */
  sizes: Sizes = {
    ...(Object.fromEntries(sums.map((sum) => [sum, 0])) as Record<(typeof sums)[number], number>),
    ...{ codesLive: 0, codesResting: 0, codeClients: 0, guessers: 0, streamBytes: 0 },
  };
  private readonly membership: Membership;
  private readonly settings: { compare(): void; stop(): void } | undefined;
  /**
   * Rooms whose seats have to be checked. A call for them had no answer, so its events for this node may be
   * lost; or a full Redis refused to check them.
   */
  private readonly doubtful = new Set<AppId>();
  /** Seats whose `leave` failed. It is sent again, with what their holders have read and acknowledged. */
  private readonly owed = new Set<Asker>();
  /** At least every token and stamp that this node has seen or sent; µs, at least Redis's clock. */
  private fresh = 0;
  private sweptAt = Number.NEGATIVE_INFINITY;
  private isReturning = false;

  constructor(private readonly options: RedisEngineOptions) {
    const { node, prefix, clock, limits, leaseMs, agreement } = options;
    const root = `${prefix}${formatVersion}:`;
    this.node = node;
    this.after = clock.after;
    const rememberedMs = options.timeoutMs * 4;
    const streamBytes = streamTotalBytes(limits);
    const common = { root, limits, leaseMs, keptMs, streamBytes, rememberedMs };
    this.store = new Store(options, common, this);
    this.membership = new Membership(this.store, options, `${root}node:${node}`, this);
    this.codes = new RedisCodes(this.store, options, (reply) => void this.carryOut(reply));
    this.settings = agreement && compareNodes(this.store, options, agreement);
  }

  /** Connects. Returns the function that closes it. */
  async open(): Promise<() => Promise<void>> {
    const { store, seats, settings } = this;
    const { clock, leaseMs } = this.options;
    await store.open();
    const stopRenewing = clock.every(Math.max(20, leaseMs / 6), () => void this.renew());
    return async () => {
      stopRenewing();
      settings?.stop();
      await Promise.all(Array.from(seats.held(), (seat) => seats.seats.leave(seat)));
      await store.call("leave", []).catch(() => {});
      store.close();
    };
  }

  // ---- as host of the connections ----

  turn: Host["turn"] = async (appId, verb, holder, ...args) => {
    const fresh = this.freshAbove(Math.round(this.store.latest() * 1_000), 1);
    const { side, token, isStarted, peer, known } = holder ?? {};
    // The part of a seat that Redis needs.
    const asking = holder && { side, token, isStarted, peer, known };
    const asked = JSON.stringify({ verb, args, fresh, holder: asking });
    try {
      return this.carryOut(JSON.parse(await this.store.call("turn", [appId, asked]))) as never;
    } catch (error) {
      if (!(error instanceof EngineFull) || verb === "check") this.doubtful.add(appId);
      if (verb === "leave" && holder) this.owed.add(holder);
      throw error;
    }
  };

  send(to: string, message: Message): void {
    void this.store.call("post", [to, JSON.stringify([message])]).catch(() => {});
  }

  async sweepIfDue(): Promise<void> {
    const { clock, offsetMs } = this.options;
    if (clock.monotonicMs() - this.sweptAt >= sweptAgainAfterMs || offsetMs) await this.sweep();
  }

  /** Reports drops, delivers the events for this node, and returns the verb's answer. */
  private carryOut({ answer, here, drops = {}, hasNoLease }: TurnReply): unknown {
    for (const [reason, count] of Object.entries(drops)) {
      this.options.dropped(reason as keyof typeof drops, count);
    }
    if (hasNoLease) void this.returned();
    const { token = 0, stamp = 0 } = (answer ?? {}) as { token?: number; stamp?: number };
    this.freshAbove(Math.max(token, stamp));
    for (const message of here ?? []) this.seats.hear(message);
    return answer;
  }

  /** Raises `fresh` by `more`, and at least to `known`. Returns it. */
  freshAbove(known: number, more = 0): number {
    this.fresh = Math.max(this.fresh + more, known);
    return this.fresh;
  }

  // ---- called by membership and store ----

  /** An entry of this node's stream. */
  heard(text: string): void {
    for (const message of JSON.parse(text) as readonly Message[]) this.seats.hear(message);
  }

  /** Frees the seats of gone nodes in these rooms. */
  gone(rooms: readonly AppId[]): void {
    // The next renewal reports further rooms.
    const renewed = this.settle(rooms).then(() => this.membership.renew());
    renewed.catch(() => {});
  }

  /** Seats that this node has according to Redis. Each renewal reports some of them. */
  kept(addresses: readonly Seat[]): void {
    for (const seat of addresses) if (!this.seats.knows(seat)) this.seats.disown(seat);
  }

  /** The lease had ended, or events for this node may be lost. Checks all its seats, spread over time. */
  lapsed(): void {
    this.lookAt(() => true);
  }

  /** Makes the node known. `isAnother`: this may be another Redis than before, or one with older data. */
  async joined(isAnother: boolean): Promise<void> {
    const left = [...this.owed];
    this.owed.clear();
    await Promise.all(left.map((seat) => this.turn(seat.appId, "leave", seat)));
    await this.comeBack();
    if (isAnother) this.lapsed();
  }

  changed(isUp: boolean): void {
    if (!isUp) return this.membership.stopReading();
    void this.membership.readOn();
    this.settings?.compare();
  }

  // ---- recovery and expiry ----

  /** Redis did not know this node: it may have forgotten its stream and its seats. */
  private async returned(): Promise<void> {
    if (this.isReturning) return;
    this.isReturning = true;
    // The stream has to exist before checks of the seats cause events.
    await this.comeBack().then(
      () => this.lapsed(),
      () => {},
    );
    this.isReturning = false;
  }

  private lookAt(isMeant: (seat: LocalSeat) => boolean): void {
    const { clock, random, leaseMs } = this.options;
    for (const seat of this.seats.held()) {
      if (!isMeant(seat)) continue;
      const delayMs = random(Math.min(healingMs, Math.ceil(leaseMs / 2)));
      clock.after(delayMs, () => void this.seats.recheck(seat, true).catch(() => {}));
    }
  }

  /** Renews the lease, gives up seats that only Redis has, and checks the doubtful rooms. */
  private async comeBack(): Promise<void> {
    await this.membership.renewAndCompare();
    const rooms = new Set(this.doubtful);
    this.doubtful.clear();
    this.lookAt(({ appId }) => rooms.has(appId));
  }

  /** Renews the lease. Once it has ended, seats that need Redis are cut off: another node may serve them. */
  private async renew(): Promise<void> {
    try {
      if (this.doubtful.size > 0) await this.comeBack();
      else await this.membership.renew();
    } catch {
      if (this.options.clock.monotonicMs() <= this.membership.leasedUntil) return;
      for (const seat of this.seats.held()) if (!seat.peerHere) this.seats.cutOff(seat);
    }
  }

  /** Applies what has expired in these rooms. */
  private async settle(rooms: readonly AppId[]): Promise<void> {
    await Promise.all(rooms.map((appId) => this.turn(appId, "nothing", undefined)));
  }

  async sweep(): Promise<void> {
    this.sweptAt = this.options.clock.monotonicMs();
    for (let isDone = false; !isDone; ) {
      const found = await this.store.call("sweep", this.membership.takeRead());
      const { sizes, recentMisses, due } = JSON.parse(found) as Swept;
      this.sizes = sizes;
      this.codes.misses = recentMisses;
      const rooms = Object.values(due);
      await this.settle(rooms);
      isDone = rooms.length === 0;
    }
  }
}
