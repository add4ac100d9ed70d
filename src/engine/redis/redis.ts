import type { AppId } from "../../base/ids.ts";
import { type Asker, Connections, type LocalSeat } from "../connections.ts";
import {
  type Engine,
  EngineFull,
  type EngineLimits,
  type Sizes,
  streamTotalBytes,
} from "../engine.ts";
import type { Holder, Message } from "../rules/turn.ts";
import { redisCodes } from "./codes.ts";
import type { Swept } from "./inside/inside.ts";
import type { Asked, TurnReply } from "./inside/turn.ts";
import { Membership } from "./membership.ts";
import { type Agreement, compareNodes } from "./node-settings.ts";
import { Store, type StoreOptions } from "./store.ts";

export interface RedisEngineOptions extends StoreOptions {
  /** No other node has this name. */
  readonly node: string;
  /** Before every key. */
  readonly prefix: string;
  /** The seats of a node are free this long after it last renewed its lease. */
  readonly leaseMs: number;
  readonly limits: EngineLimits;
  readonly agreement?: Agreement;
  /** Called for everything that was accepted and then given up. */
  readonly dropped: (reason: "stale" | "hold_expired" | "room_forgotten", count: number) => void;
}

/**
 * Of what is kept in Redis, and in keys. Nodes of another format have keys of their own: they meet in
 * the settings that nodes compare, and say so.
 */
export const formatVersion = 2;
/** What is in Redis is collected this long after its last node is gone. */
const keptMs = 86_400_000;
/** Over how long the seats of a node are looked at when Redis is back. */
const healingMs = 1_000;
const sweptAgainAfterMs = 1_000;

const dropReasons = ["stale", "hold_expired", "room_forgotten"] as const;
const noSizes: Sizes = {
  ...{ rooms: 0, peers: 0, codesLive: 0, codesResting: 0, codeClients: 0, guessers: 0 },
  ...{
    mailboxes: 0,
    mails: 0,
    mailBytes: 0,
    heldFrames: 0,
    heldBytes: 0,
    idBytes: 0,
    streamBytes: 0,
  },
};

/**
 * State in Redis 7 or Valkey, shared by any number of nodes. One primary, with replicas or without; no
 * Redis Cluster, since a turn at a room also touches the sums over all rooms.
 *
 * Resolves after the first try to connect: `ready` tells how that went.
 */
export async function redisEngine(options: RedisEngineOptions): Promise<Engine> {
  const { node, prefix, clock, random, limits, leaseMs } = options;
  const root = `${prefix}${formatVersion}:`;
  const streamBytes = streamTotalBytes(limits);
  const store = new Store(
    options,
    { root, limits, leaseMs, keptMs, streamBytes, rememberedMs: options.timeoutMs * 4 },
    node,
    async (isAnother) => {
      const left = [...owed];
      owed.clear();
      await Promise.all(left.map((seat) => turn(seat.appId, "leave", seat)));
      await comeBack();
      if (isAnother) lookAtAll();
    },
    (isUp) => {
      if (!isUp) return membership.stopReading();
      void membership.readOn();
      settings?.compare();
    },
  );
  const membership: Membership = new Membership(store, {
    stream: `${root}node:${node}`,
    leaseMs,
    monotonicMs: clock.monotonicMs,
    fresh(others) {
      fresh = Math.max(fresh, others);
      return fresh;
    },
    heard: (text) => {
      for (const message of JSON.parse(text) as readonly Message[]) seats.hear(message);
    },
    lapsed: lookAtAll,
    gone(rooms) {
      // Then the rest of them.
      const renew = () => membership.renew();
      void settle(rooms)
        .then(renew)
        .catch(() => {});
    },
    kept(addresses) {
      for (const seat of addresses) if (!seats.knows(seat)) seats.disown(seat);
    },
  });
  const settings =
    options.agreement && compareNodes({ store, prefix, node, clock }, options.agreement);
  /**
   * Rooms of calls without an answer: what those told this node is lost, if they were carried out. And those
   * that a full Redis could not be asked about.
   */
  const doubtful = new Set<AppId>();
  /** Seats whose leaving found no Redis. It takes with it what their holders had read and acknowledged. */
  const owed = new Set<Asker>();
  /** Above all tokens and stamps that nodes have seen or asked with; µs by the clock of Redis, or more. */
  let fresh = 0;
  let sizes = noSizes;
  let sweptAt = Number.NEGATIVE_INFINITY;
  let isReturning = false;

  async function turn(
    appId: AppId,
    verb: string,
    holder: Asker | undefined,
    ...args: readonly unknown[]
  ): Promise<unknown> {
    fresh = Math.max(fresh + 1, Math.round(store.latest() * 1_000));
    const asked: Asked = { verb, args, fresh, ...(holder && { holder: asHolder(holder) }) };
    try {
      return heard(JSON.parse(await store.call("turn", [appId, JSON.stringify(asked)])));
    } catch (error) {
      if (!(error instanceof EngineFull) || verb === "check") doubtful.add(appId);
      if (verb === "leave" && holder) owed.add(holder);
      throw error;
    }
  }

  function heard({ answer, here, drops = {}, hasNoLease }: TurnReply): unknown {
    for (const reason of dropReasons) {
      const count = drops[reason];
      if (count !== undefined) options.dropped(reason, count);
    }
    if (hasNoLease) void returned();
    learn(answer);
    for (const message of here ?? []) seats.hear(message);
    return answer;
  }

  function learn(seen: unknown): void {
    const { token, stamp } = (seen ?? {}) as { readonly token?: number; readonly stamp?: number };
    fresh = Math.max(fresh, token ?? 0, stamp ?? 0);
  }

  /** Redis did not know this node: it may have forgotten its stream and its seats. */
  async function returned(): Promise<void> {
    if (isReturning) return;
    isReturning = true;
    // Before its seats: what they are told then has to have a stream.
    await comeBack().then(lookAtAll, () => {});
    isReturning = false;
  }

  /** Looks at each seat of this node, over a while. Frames of pairs apart may be lost. */
  function lookAtAll(): void {
    lookAt(() => true);
  }

  function lookAt(isMeant: (seat: LocalSeat) => boolean): void {
    for (const seat of seats.held()) {
      if (!isMeant(seat)) continue;
      const delayMs = random(Math.min(healingMs, Math.ceil(leaseMs / 2)));
      clock.after(delayMs, () => void Promise.resolve(seats.recheck(seat, true)).catch(() => {}));
    }
  }

  /** Renews the lease, gives up seats that are here in Redis only, and looks at what is in doubt. */
  async function comeBack(): Promise<void> {
    await membership.renewAndCompare();
    const rooms = new Set(doubtful);
    doubtful.clear();
    lookAt(({ appId }) => rooms.has(appId));
  }

  /** Renews the lease. Once it is over, what needs Redis had better go to another node. */
  async function renew(): Promise<void> {
    try {
      if (doubtful.size > 0) await comeBack();
      else await membership.renew();
    } catch {
      if (clock.monotonicMs() <= membership.leasedUntil) return;
      for (const seat of seats.held()) if (seat.peerHere === undefined) seats.cutOff(seat);
    }
  }

  /** Gives rooms a turn in which nothing happens but what is due. */
  async function settle(rooms: readonly AppId[]): Promise<void> {
    await Promise.all(rooms.map((appId) => turn(appId, "nothing", undefined)));
  }

  async function sweep(): Promise<void> {
    sweptAt = clock.monotonicMs();
    for (let isDone = false; !isDone; ) {
      const found = JSON.parse(await store.call("sweep", membership.takeRead())) as Swept;
      const { bareRooms: _, ...sums } = { bareRooms: 0, ...noSizes, ...found.sizes };
      sizes = sums;
      codes.learnRecentMisses(found.recentMisses);
      // Lua does not tell an empty list from an empty object.
      const due = Array.isArray(found.due) ? (found.due as readonly AppId[]) : [];
      await settle(due);
      isDone = due.length === 0;
    }
  }

  const seats: Connections = new Connections({
    node,
    seats: new Map(),
    isAlone: false,
    turn,
    send: (to, message) => void store.call("post", [to, JSON.stringify([message])]).catch(() => {}),
    async sweepIfDue() {
      if (clock.monotonicMs() - sweptAt >= sweptAgainAfterMs || options.offsetMs) await sweep();
    },
    after: clock.after,
  });
  const codes = redisCodes(store, options, heard);
  await store.open();
  const stopRenewing = clock.every(Math.max(20, leaseMs / 6), () => void renew());

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
      if (store.isUp) await sweep().catch(() => {});
    },
    sizes: () => sizes,
    async close() {
      stopRenewing();
      settings?.stop();
      await Promise.all(Array.from(seats.held(), (seat) => seats.seats.leave(seat)));
      await store.call("leave", []).catch(() => {});
      store.close();
    },
  };
}

/** Of all that a node has about a seat, what goes to Redis. */
function asHolder({ side, token, isStarted, peer, known }: Holder): Holder {
  if (known === undefined) return { side, token, isStarted, peer };
  const { sid, accounts, redeemed, readSeq, readStamp, sentSeq, acked, storedA, storedB } = known;
  const ofMail = { readSeq, readStamp, sentSeq, acked, storedA, storedB };
  return { side, token, isStarted, peer, known: { sid, accounts, redeemed, ...ofMail } };
}
