import { type RedisEngineOptions, redisEngine } from "../../src/engine/redis/redis.ts";
import { RedisFault } from "../../src/engine/redis/resp.ts";
import type { Chance } from "../support/chance.ts";
import { type Arrangement, Base, type Ground, type Machine, Node, notZero } from "./nodes.ts";
import { linksTo, type ModelTime, RedisServer } from "./redis-model.ts";
import { epoch, newProcess } from "./time.ts";

/** The most that a replica lags behind, ms. */
const mostLagMs = 1_000;

/** The connection between one node and Redis. */
interface Wiring {
  /** ms of the simulation until which nothing gets through. */
  readonly blockedUntil: { to: number; from: number };
}

/** A machine on which one node runs at a time. */
interface Site {
  readonly machine: Machine;
  readonly wiring: Wiring;
  node: Node | undefined;
}

/** Several nodes on one Redis, found by its name or by sentinels. */
export class Cluster implements Arrangement {
  private readonly sites: readonly Site[];
  private readonly time: ModelTime;
  private readonly hasSentinels: boolean;
  private servers = 0;
  private starts = 0;
  private primary: RedisServer;
  /** The Redis that sentinels or DNS name. After a failover it is the former primary for a while. */
  private named: RedisServer;
  private readonly reachable = new Map<string, RedisServer>();

  constructor(private readonly ground: Ground) {
    const { time, draws } = ground;
    this.time = {
      now: () => epoch + time.now,
      after: (ms, run) => time.after(ms, run, newProcess()),
      forCaller() {
        const caller = time.current;
        return (ms, run) => time.after(ms, run, caller);
      },
    };
    this.hasSentinels = draws.oneIn(2);
    this.primary = this.named = this.newServer();
    this.sites = Array.from({ length: draws.oneIn(4) ? 3 : 2 }, () => ({
      machine: { clockOffset: draws.oneIn(2) ? 0 : draws.below(20_000) - 10_000 },
      wiring: { blockedUntil: { to: 0, from: 0 } },
      node: undefined,
    }));
    for (const site of this.sites) this.start(site);
  }

  private newServer(from?: { data: RedisServer["data"]; atMs: number }): RedisServer {
    const url = `redis://10.0.0.${++this.servers}:6379`;
    const { draws } = this.ground;
    const keepsMs = () => 2 * mostLagMs;
    const server = new RedisServer(url, this.time, draws, keepsMs, () => !draws.oneIn(10), from);
    this.reachable.set(url, server);
    return server;
  }

  private start(site: Site): void {
    const { time } = this.ground;
    time.as(newProcess(), () => {
      const base = new Base(this.ground, site.machine, `node${++this.starts}`);
      time.as(base.process, () => {
        void redisEngine(this.options(base, site.wiring)).then((engine) => {
          site.node = new Node(base, engine);
          const { to, from } = site.wiring.blockedUntil;
          site.node.disturb(Math.max(0, to - time.now, from - time.now) + this.foundMs);
        });
      });
    });
  }

  private options(base: Base, { blockedUntil }: Wiring): RedisEngineOptions {
    const { clock, random, config, limits, dropped, tally, name = "" } = base;
    const { draws, checks } = this.ground;
    const wire = {
      latency: () => (draws.oneIn(8) ? 1 + draws.below(12) : 1),
      blockedUntil: (direction: "to" | "from") => epoch + blockedUntil[direction],
    };
    const url = "redis://named:6379";
    const sentinels = { hosts: ["sentinel:26379"], name: "mymaster", user: "", password: "" };
    return {
      ...{ node: name, clock, random, limits, dropped, prefix: "nt:" },
      timeoutMs: config.redisTimeoutMs,
      leaseMs: config.heartbeatMs * 1.5,
      redis: { url, ca: undefined, sentinels: this.hasSentinels ? sentinels : undefined },
      makeLink: linksTo(
        (at) => (at === url ? this.named : this.reachable.get(at)),
        this.time,
        wire,
      ),
      findPrimary: () => this.find(url),
      agreement: {
        settings: { version: "1" },
        differs: () => checks.fail("nodes differ", name),
      },
      store: {
        changed: (isUp) => {
          tally.store.isUp = isUp;
        },
      },
    };
  }

  /** As sentinels answer, or a name. */
  private find(url: string): Promise<string> {
    if (!this.hasSentinels) return Promise.resolve(url);
    const { draws } = this.ground;
    const answer = this.time.forCaller();
    return new Promise((resolve, reject) => {
      if (draws.oneIn(30)) {
        const fault = new RedisFault("no primary known", "No sentinel names a primary.");
        return answer(500, () => reject(fault));
      }
      return answer(2 + draws.below(20), () => resolve(this.named.url));
    });
  }

  get nodes(): readonly Node[] {
    return this.sites.flatMap(({ node }) => (node?.process.dead === false ? [node] : []));
  }

  route(draws: Chance): Node | undefined {
    const listening = this.nodes.filter(({ isListening }) => isListening);
    return listening.length === 0 ? undefined : draws.pick(listening);
  }

  // ---- faults ----

  /** How long a node may need to reconnect after a fault of Redis has ended. */
  private get foundMs(): number {
    return 3 * this.ground.config.redisTimeoutMs;
  }

  private disturb(ms: number): void {
    this.ground.checks.disturb(ms + this.foundMs);
  }

  private some(draws: Chance): [Site, Node] | undefined {
    const site = draws.pick(this.sites);
    const { node } = site;
    return node?.isListening === true && !node.isDraining ? [site, node] : undefined;
  }

  readonly faults: Readonly<Record<string, (draws: Chance) => void>> = {
    "node crash": (draws) => {
      const [site, node] = this.some(draws) ?? [];
      if (site === undefined || node === undefined) return;
      // Its seats become free when its lease ends.
      this.ground.checks.disturbRoomsOf(node, 2 * this.ground.config.heartbeatMs);
      node.crash(!draws.oneIn(3));
      this.ground.time.after(200 + draws.below(20_000), () => this.start(site), newProcess());
    },
    "node restart": (draws) => {
      const [site, node] = this.some(draws) ?? [];
      if (site === undefined || node === undefined) return;
      this.ground.time.as(node.process, () => {
        void node.drain(draws.pick([200, 5_000])).then(async () => {
          await node.core.engine.close();
          node.crash(true);
          this.ground.time.after(50 + draws.below(3_000), () => this.start(site), newProcess());
        });
      });
    },
    "node stop": (draws) => {
      const [, node] = this.some(draws) ?? [];
      const ms = 100 + draws.below(draws.oneIn(4) ? 60_000 : 3_000);
      if (node) this.ground.checks.disturbRoomsOf(node, ms + this.foundMs);
      node?.stop(ms);
      node?.disturb(ms + this.foundMs);
    },
    "node clock": (draws) => {
      draws.pick(this.sites).machine.clockOffset = draws.below(20_000) - 10_000;
    },
    "node cut from redis": (draws) => {
      const { node, wiring } = draws.pick(this.sites);
      const ms = 100 + draws.below(draws.oneIn(3) ? 60_000 : 5_000);
      const directions = draws.pick([["to"], ["from"], ["to", "from"]] as const);
      // TCP retransmits with growing delays, so the connection recovers later than the network.
      const until = this.ground.time.now + ms + draws.below(Math.min(ms, 3_000));
      for (const direction of directions) wiring.blockedUntil[direction] = until;
      node?.disturb(ms + this.foundMs);
      if (node) this.ground.checks.disturbRoomsOf(node, ms + this.foundMs);
    },
    "redis connections reset": () => {
      this.disturb(2_000);
      this.primary.cutAll();
    },
    "redis stop": (draws) => {
      const ms = 100 + draws.below(draws.oneIn(3) ? 30_000 : 3_000);
      this.primary.stoppedUntil = this.time.now() + ms;
      this.disturb(ms);
    },
    "redis full": (draws) => {
      const { primary } = this;
      const ms = 1_000 + draws.below(30_000);
      primary.isFull = true;
      this.ground.checks.full(ms);
      this.time.after(ms, () => {
        primary.isFull = false;
      });
      this.disturb(ms);
    },
    "redis emptied": () => {
      this.primary.data.flush();
      this.ground.checks.stateLost();
      this.disturb(this.ground.config.heartbeatMs);
    },
    "redis restart": (draws) => {
      const ms = 50 + draws.below(5_000);
      // With `appendfsync always` it forgets nothing.
      this.replacePrimary(draws, { lagMs: 0, ms, isSplit: false });
    },
    failover: (draws) =>
      this.replacePrimary(draws, {
        lagMs: this.lagOf(draws),
        ms: 500 + draws.below(10_000),
        isSplit: draws.oneIn(3),
      }),
  };

  /** A random lag. It is often just long enough to forget the last take of a seat. */
  private lagOf(draws: Chance): number {
    const { checks, time } = this.ground;
    const sinceSeated = time.now - checks.lastSeatedAt + 30;
    if (draws.oneIn(2) && sinceSeated < mostLagMs) return sinceSeated;
    return draws.below(draws.oneIn(3) ? mostLagMs : 200);
  }

  /**
   * Another Redis becomes the primary with its data of `lagMs` ago. Nodes find it after `ms`. `isSplit`:
   * the former primary keeps running until then, and its changes are lost.
   */
  private replacePrimary(
    draws: Chance,
    { lagMs, ms, isSplit }: { lagMs: number; ms: number; isSplit: boolean },
  ): void {
    const former = this.primary;
    if (former !== this.named) return;
    const { checks, time } = this.ground;
    if (isSplit) this.reachable.set(former.url, former);
    else former.end();
    this.primary = this.newServer({ data: former.data, atMs: this.time.now() - lagMs });
    this.primary.clockOffset = draws.oneIn(3) ? draws.below(2_000) - 1_000 : former.clockOffset;
    const since = time.now - lagMs;
    const forget = () => {
      if (lagMs > 0 || isSplit) checks.forgetsSince(since);
    };
    forget();
    this.disturb(ms + this.ground.config.heartbeatMs);
    this.time.after(ms, () => {
      this.named = this.primary;
      // Sentinels make the former primary a replica and close its connections.
      former.role = "slave";
      former.cutAll();
      forget();
    });
  }

  leftovers(): string[] {
    const known = /^nt:(\{rv\}:settings|\d+:(nodes|streams|misses|fresh|node:.*))$/;
    const keys = this.primary.data.names().filter((name) => !known.test(name));
    const sites = this.nodes.flatMap((node) => notZero(node.held()));
    return [...keys.map((key) => `key ${key}`), ...sites];
  }
}
