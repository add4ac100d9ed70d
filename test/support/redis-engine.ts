import { cryptoRandom, systemClock } from "../../src/base/clock.ts";
import { newNodeId, type Side } from "../../src/base/ids.ts";
import type { Engine, EngineLimits, Seat } from "../../src/engine/engine.ts";
import type { RedisTarget } from "../../src/engine/redis/primary.ts";
import { type RedisEngineOptions, redisEngine } from "../../src/engine/redis/redis.ts";
import { contractLimits, type EngineUnderTest } from "../contract/engine-contract.ts";
import type { TestRedis } from "./redis.ts";

let made = 0;

/** A single Redis, without TLS. */
export function at(url: string): RedisTarget {
  return { url: url.replace("http:", "redis:"), ca: undefined, sentinels: undefined };
}

/** Engines of several nodes on one Redis, with keys of their own and a clock that can be moved. */
export async function redisNodes(
  redis: Pick<TestRedis, "url">,
  nodes: number,
  limits: Partial<EngineLimits> = {},
  options: Partial<RedisEngineOptions> = {},
) {
  const prefix = `nt${++made}:`;
  const drops = { stale: 0, hold_expired: 0, room_forgotten: 0 };
  let offsetMs = 0;
  const engines = await Promise.all(
    Array.from({ length: nodes }, () =>
      redisEngine({
        node: newNodeId(),
        redis: at(redis.url),
        prefix,
        timeoutMs: 2_000,
        leaseMs: 30_000,
        clock: systemClock,
        random: cryptoRandom,
        limits: { ...contractLimits, ...limits },
        dropped: (reason, count) => {
          drops[reason] += count;
        },
        offsetMs: () => offsetMs,
        ...options,
      }),
    ),
  );
  return {
    prefix,
    engines: engines as [Engine, ...Engine[]],
    advance(ms: number) {
      offsetMs += ms;
    },
    dropped: (reason: keyof typeof drops) => drops[reason],
    async [Symbol.asyncDispose]() {
      await Promise.all(engines.map((engine) => engine.close()));
    },
  };
}

/** One node, as the contract wants it. */
export async function oneRedisNode(
  redis: TestRedis,
  limits?: Partial<EngineLimits>,
): Promise<EngineUnderTest> {
  const nodes = await redisNodes(redis, 1, limits);
  return { ...nodes, engine: nodes.engines[0] };
}

/** Two nodes: side A is always on the one and side B on the other. */
export async function redisNodesApart(
  redis: Pick<TestRedis, "url">,
  limits?: Partial<EngineLimits>,
  options?: Partial<RedisEngineOptions>,
): Promise<EngineUnderTest> {
  const nodes = await redisNodes(redis, 2, limits, options);
  const [one, two = one] = nodes.engines;
  return { ...nodes, engine: asOne(nodes.engines, (side) => (side === "A" ? one : two)) };
}

/** Two nodes: whoever comes is on the other node than whoever came before. */
export async function redisNodesInTurn(
  redis: TestRedis,
  limits?: Partial<EngineLimits>,
): Promise<EngineUnderTest> {
  const nodes = await redisNodes(redis, 2, limits);
  return { ...nodes, engine: asOne(nodes.engines) };
}

/**
 * Hands each call on as it is: what is about a seat to the node that it was taken at, newcomers to
 * `nodeFor` if there is one, and everything else to the nodes in turn.
 */
function asOne(nodes: readonly [Engine, ...Engine[]], nodeFor?: (side: Side) => Engine): Engine {
  const [first] = nodes;
  let calls = 0;
  const next = () => nodes[calls++ % nodes.length] ?? first;
  const nodeOf = new WeakMap<Seat, Engine>();
  const at = (seat: Seat) => nodeOf.get(seat) ?? first;
  return {
    codes: {
      claim: (...args) => next().codes.claim(...args),
      guess: (...args) => next().codes.guess(...args),
      recentMisses: () => next().codes.recentMisses(),
    },
    rooms: {
      establish: (seat) => at(seat).rooms.establish(seat),
      allowsIce: (...args) => next().rooms.allowsIce(...args),
    },
    seats: {
      async take(newcomer, how) {
        const node = nodeFor?.(newcomer.side) ?? next();
        const taken = await node.seats.take(newcomer, how);
        if (taken.outcome === "taken") nodeOf.set(taken.seat, node);
        return taken;
      },
      leave: (seat) => at(seat).seats.leave(seat),
      probe: (...args) => next().seats.probe(...args),
      park: (...args) => next().seats.park(...args),
    },
    relay: {
      publish: (seat, ...rest) => at(seat).relay.publish(seat, ...rest),
      start: (seat, discard) => at(seat).relay.start(seat, discard),
      drained: (seat) => at(seat).relay.drained(seat),
    },
    mailboxes: {
      append: (seat, ...rest) => at(seat).mailboxes.append(seat, ...rest),
      read: (seat, ...rest) => at(seat).mailboxes.read(seat, ...rest),
      ack: (seat, upTo) => at(seat).mailboxes.ack(seat, upTo),
      hello: (seat, upTo) => at(seat).mailboxes.hello(seat, upTo),
    },
    now: () => first.now(),
    ready: () => next().ready(),
    warning: () => next().warning(),
    async sweep() {
      await Promise.all(nodes.map((node) => node.sweep()));
    },
    sizes: () => next().sizes(),
    async close() {
      await Promise.all(nodes.map((node) => node.close()));
    },
  };
}
