import type { Clock, Random } from "../../base/clock.ts";
import { newAppId } from "../../base/ids.ts";
import type { Engine, EngineLimits, Waiter } from "../engine.ts";
import { redisCodes } from "./codes.ts";
import { hearing } from "./hearing.ts";
import { keysUnder } from "./keys.ts";
import { startLeases } from "./leases.ts";
import { redisMailboxes } from "./mailboxes.ts";
import { Questions } from "./questions.ts";
import { redisRelay } from "./relay.ts";
import { redisRooms } from "./rooms.ts";
import { roomsStore } from "./rooms-store.ts";
import { SeatBook } from "./seat-book.ts";
import { redisSeats } from "./seats.ts";
import { Store } from "./store.ts";
import { houseSweep } from "./sweep.ts";
import { tenancy as newTenancy } from "./tenancy.ts";

export interface RedisEngineOptions {
  readonly url: string;
  /** PEM text that a `rediss://` server's certificate is checked against; undefined: the usual roots. */
  readonly ca: string | undefined;
  /** Before every key and channel. */
  readonly prefix: string;
  /** How long Redis is given to answer, ms. */
  readonly timeoutMs: number;
  /** A seat is free this long after its node was last heard of. */
  readonly leaseMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: EngineLimits;
  /** Hears of everything that was accepted and then given up. */
  readonly dropped: (reason: "stale" | "hold_expired" | "room_forgotten", count: number) => void;
  /** The store came within reach, or went out of it. */
  readonly reachable?: (is: boolean) => void;
  /** Redis refuses what it is asked for; in its own words, which name keys and nothing that is secret. */
  readonly refused?: (message: string) => void;
  /** ms that Redis's clock is ahead, for everything that expires. Only contract tests set it. */
  readonly offsetMs?: () => number;
}

/**
 * State in Redis 7 or Valkey, shared by any number of nodes. One primary, with replicas or without;
 * no Redis Cluster, since a room's steps also touch the sums over all rooms.
 *
 * Resolves when it was tried to connect: `ready` tells how that went.
 */
export async function redisEngine(options: RedisEngineOptions): Promise<Engine> {
  const { clock, limits, leaseMs, timeoutMs } = options;
  const node = newAppId();
  const keys = keysUnder(options.prefix);
  const book = new SeatBook();
  const waiters = new Map<string, Waiter>();
  const questions = new Questions(node, clock);

  const store: Store = new Store({
    ...options,
    offsetMs: options.offsetMs ?? (() => 0),
    refused: options.refused ?? (() => {}),
    channel: keys.node(node),
    heard: (text) => ears.heard(text),
    changed(up) {
      if (up) leases.reconnected();
      options.reachable?.(up);
    },
  });
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
  const ears = hearing({ store, keys, book, waiters, questions, tenancy, relay });
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
    handle: ears.handle,
  });

  await store.open();
  return {
    codes,
    rooms: redisRooms({ run, tenancy, maxRooms: limits.maxRooms }),
    seats,
    relay,
    mailboxes: redisMailboxes({ tenancy, limits }),
    ready() {
      const seconds = Math.ceil(store.downForMs() / 1000);
      return store.isUp ? undefined : `Redis has been out of reach for ${seconds} s.`;
    },
    sweep: house.sweep,
    sizes: house.sizes,
    async close() {
      leases.stop();
      await Promise.all(Array.from(book.all, (seat) => seats.leave(seat)));
      await store.settled();
      store.close();
    },
  };
}
