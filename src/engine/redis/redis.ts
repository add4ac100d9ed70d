import type { Engine } from "../engine.ts";
import { redisCodes } from "./codes.ts";
import { startLeases } from "./leases.ts";
import { redisMailboxes } from "./mailboxes.ts";
import { type RedisEngineOptions, RedisNode } from "./node.ts";
import { compareNodes } from "./node-settings.ts";
import { redisRelay } from "./relay.ts";
import { redisRooms, redisSweep } from "./rooms.ts";
import { handleSeatMessage, redisSeats } from "./seats.ts";

export type { RedisEngineOptions } from "./node.ts";

/**
 * State in Redis 7 or Valkey, shared by any number of nodes. One primary, with replicas or without;
 * no Redis Cluster, since a room's scripts also touch the sums over all rooms.
 *
 * Resolves after the first try to connect: `ready` tells how that went.
 */
export async function redisEngine(options: RedisEngineOptions): Promise<Engine> {
  const node: RedisNode = new RedisNode(
    options,
    (seat, message) => handleSeatMessage(node, seat, message),
    (up) => {
      if (!up) return;
      leases.renewAll();
      settings?.compare();
    },
  );
  const { store } = node;
  const leases = startLeases(node);
  const settings = options.agreement && compareNodes(node, options.agreement);
  const codes = redisCodes(node);
  const seats = redisSeats(node);
  const { sweep, sizes } = redisSweep(node, codes.learnRecentMisses);

  await store.open();
  return {
    codes,
    rooms: redisRooms(node),
    seats,
    relay: redisRelay(node),
    mailboxes: redisMailboxes(node),
    now: () => store.now(),
    ready: () => store.reasonDown(),
    warning: () => store.warning(),
    sweep,
    sizes,
    async close() {
      leases.stop();
      settings?.stop();
      await Promise.all(Array.from(node.seats.all, (seat) => seats.leave(seat)));
      await store.settled();
      store.close();
    },
  };
}
