import type { Clock, Random } from "../../base/clock.ts";
import type { Engine, EngineLimits, Waiter } from "../engine.ts";
import { redisCodes } from "./codes.ts";
import { messageHandler } from "./hearing.ts";
import { keysUnder } from "./keys.ts";
import { startLeases } from "./leases.ts";
import { redisMailboxes } from "./mailboxes.ts";
import { compareNodes, type Difference, type NodeSettings } from "./node-settings.ts";
import type { RedisTarget } from "./primary.ts";
import { Questions } from "./questions.ts";
import { redisRelay } from "./relay.ts";
import { redisRooms } from "./rooms.ts";
import { roomsStore } from "./rooms-store.ts";
import { SeatBook } from "./seat-book.ts";
import { redisSeats } from "./seats.ts";
import { Store, type StoreOptions } from "./store.ts";
import { houseSweep } from "./sweep.ts";
import { tenancy as newTenancy } from "./tenancy.ts";

export interface RedisEngineOptions {
  /** No other node has this name. */
  readonly node: string;
  readonly redis: RedisTarget;
  /** Before every key and channel. */
  readonly prefix: string;
  /** How long Redis is given to answer, ms. */
  readonly timeoutMs: number;
  /** A seat is free this long after its node was last heard of. */
  readonly leaseMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: EngineLimits;
  /** What all nodes have to agree on, and who is told when one does not. */
  readonly agreement?: {
    readonly settings: NodeSettings;
    readonly differs: (node: string, differences: readonly Difference[]) => void;
  };
  /** Hears of everything that was accepted and then given up. */
  readonly dropped: (reason: "stale" | "hold_expired" | "room_forgotten", count: number) => void;
  /** What the store has to say of itself; see `StoreOptions`. */
  readonly store?: Partial<Pick<StoreOptions, "changed" | "failed" | "refused" | "took">>;
  /** ms that Redis's clock is ahead, for everything that expires. Only contract tests set it. */
  readonly offsetMs?: () => number;
}

/**
 * State in Redis 7 or Valkey, shared by any number of nodes. One primary, with replicas or without;
 * no Redis Cluster, since a room's scripts also touch the sums over all rooms.
 *
 * Resolves when it was tried to connect: `ready` tells how that went.
 */
export async function redisEngine(options: RedisEngineOptions): Promise<Engine> {
  const { node, clock, limits, leaseMs, timeoutMs } = options;
  const keys = keysUnder(options.prefix);
  const book = new SeatBook();
  const waiters = new Map<string, Waiter>();
  const questions = new Questions(node, clock);

  const store: Store = new Store({
    ...options,
    offsetMs: options.offsetMs ?? (() => 0),
    failed: options.store?.failed ?? (() => {}),
    refused: options.store?.refused ?? (() => {}),
    took: options.store?.took ?? (() => {}),
    channel: keys.node(node),
    heard: (text) => messages.heard(text),
    changed(up) {
      if (up) leases.reconnected();
      if (up) nodes?.compare();
      options.store?.changed?.(up);
    },
  });
  const nodes =
    options.agreement && compareNodes({ store, keys, clock, node, ...options.agreement });
  const run = roomsStore({ ...options, store, keys, node });
  const tenancy = newTenancy({ run, book, clock, leaseMs, maxRooms: limits.maxRooms });
  const relay = redisRelay({
    store,
    keys,
    book,
    tenancy,
    limits,
    lostFrames: (count) => options.dropped("hold_expired", count),
  });
  const messages = messageHandler({ store, keys, book, waiters, questions, tenancy, relay });
  const leases = startLeases({ ...options, store, book, tenancy, catchUp: relay.catchUp });
  const { redeemWindowMs } = limits;
  const codes = redisCodes({ store, keys, node, timeoutMs, clock, redeemWindowMs });
  const house = houseSweep({
    ...{ store, keys, run, redeemWindowMs },
    recentMisses: codes.learnRecentMisses,
  });
  const seats = redisSeats({
    ...{ store, run, node, book, waiters, questions, tenancy, clock, leaseMs },
    maxRooms: limits.maxRooms,
    handle: messages.handle,
  });

  await store.open();
  return {
    codes,
    rooms: redisRooms({ run, tenancy, maxRooms: limits.maxRooms }),
    seats,
    relay,
    mailboxes: redisMailboxes({ tenancy, limits }),
    now: () => store.now(),
    ready: () => store.reasonDown(),
    sweep: house.sweep,
    sizes: house.sizes,
    async close() {
      leases.stop();
      nodes?.stop();
      await Promise.all(Array.from(book.all, (seat) => seats.leave(seat)));
      await store.settled();
      store.close();
    },
  };
}
