import { chance } from "../support/chance.ts";
import { freePort } from "../support/program.ts";
import { Talker } from "../support/talker.ts";
import { within } from "../support/waiting.ts";
import { ChaosNode } from "./node.ts";
import { becomes, type ChaosStore, failingOver, settlingMs, single, timeoutMs } from "./stores.ts";

export interface ChaosOptions {
  /** The same seed makes the same choices; what they meet is up to the machine. */
  readonly seed: number;
  readonly seconds: number;
  readonly pairs: number;
  /** Two Redis under three sentinels, which fail over, instead of one. */
  readonly sentinel?: boolean;
  /** Redis may forget some of what it answered: it comes back older than it was, or its replica lags. */
  readonly loses?: boolean;
  readonly say?: (line: string) => void;
}

export interface ChaosReport {
  readonly actions: Readonly<Record<string, number>>;
  readonly mails: number;
  readonly arrivals: number;
  /** What should not have happened, in words. */
  readonly faults: readonly string[];
  /** Bytes each node occupies at the end, and Redis. */
  readonly rss: readonly number[];
  readonly redisBytes: number;
}

const heartbeatMs = 1_000;
/** Wall clocks of the nodes: far behind, right, far ahead. */
const clockOffsetsMs = [-3_600_000, 0, 86_400_000];
const mailEveryMs = 40;

/**
 * Nodes and their Redis are killed, stopped and restarted at random, while pairs of reconnecting
 * clients that come through whatever node they happen on send each other mail.
 */
export async function chaos(options: ChaosOptions): Promise<ChaosReport> {
  const { seed, seconds, pairs, say = () => {} } = options;
  const random = chance(seed).below;
  await using parts = new AsyncDisposableStack();
  const nodes: ChaosNode[] = [];
  const areReady = async () => {
    await becomes("every node to be ready", () => all(nodes, (node) => node.isReady()));
  };
  const { sentinel = false, loses = false } = options;
  const store = parts.use(await (sentinel ? failingOver(!loses) : single(loses, areReady)));
  const env = { REDIS_TIMEOUT: `${timeoutMs}ms`, HEARTBEAT: `${heartbeatMs}ms` };
  for (const [i, offset] of clockOffsetsMs.entries()) {
    const own = { ...store.env(i), CLOCK_OFFSET_MS: String(offset) };
    const node = new ChaosNode(await freePort(), { ...env, ...own });
    nodes.push(parts.use(node));
    node.run();
  }
  await areReady();

  const choose = chance(seed + 1).below;
  const Socket = roaming(() => nodes[choose(nodes.length)] as ChaosNode);
  const patience = { minRetryMs: 50, maxRetryMs: 1_000, answerMs: 3_000, seatMs: 20_000 };
  const anywhere = { url: "http://anywhere", WebSocket: Socket, ...patience, everyMs: mailEveryMs };
  const talker = (appId: string, side: "A" | "B") => new Talker({ ...anywhere, appId, side });
  const couples = Array.from({ length: pairs }, () => {
    const appId = crypto.randomUUID();
    return [talker(appId, "A"), talker(appId, "B")] as const;
  });
  const parties = couples.flat();
  for (const party of parties) parts.use(party);
  await becomes("every client to be online", () => parties.every((party) => party.isOnline));
  for (const party of parties) party.talk();

  const actions = await misbehave(nodes, store, random, seconds, say);

  const faults: string[] = [];
  await becomes("every node to be ready again", () => all(nodes, (node) => node.isReady()));
  await within(
    "the last mail to be stored",
    Promise.all(parties.map((p) => p.fallSilent())),
    settlingMs,
  ).catch((error: Error) => faults.push(error.message));
  for (const [a, b] of couples) {
    const inOrder = () =>
      mailFaults(a, b, store.losses).length + mailFaults(b, a, store.losses).length === 0;
    await becomes("the last mail to be heard", inOrder).catch(() => {});
    faults.push(...mailFaults(a, b, store.losses), ...mailFaults(b, a, store.losses));
    await framesPass(a, b).catch((error: Error) => faults.push(error.message));
    for (const { state } of [a, b]) if (state !== "online") faults.push(`a client is ${state}`);
  }
  const mails = parties.reduce((sum, { stored }) => sum + stored, 0);
  const arrivals = parties.reduce((sum, party) => sum + party.arrivals, 0);
  faults.push(...nodes.flatMap((node) => node.faults));
  const rss = await Promise.all(nodes.map((node) => node.rss()));

  for (const party of parties) party[Symbol.dispose]();
  const redis = await store.primary();
  const freed = async () => Number(await redis.ask("HGET", "nt:2:sums", "peers")) === 0;
  await becomes("every seat to be free", freed).catch((error: Error) => faults.push(error.message));
  const keys = (await redis.ask("KEYS", "nt:*")) as string[];
  for (const key of keys) {
    if (Number(await redis.ask("PTTL", key)) === -1) faults.push(`${key} has no time to live`);
  }
  const memory = String(await redis.ask("INFO", "memory"));
  const redisBytes = Number(/^used_memory:(\d+)/m.exec(memory)?.[1]);
  return { actions, mails, arrivals, faults, rss, redisBytes };
}

/** What a party did not hear as it should have of what the other was told is stored. */
function mailFaults(from: Talker, to: Talker, losses: ChaosStore["losses"]): readonly string[] {
  const isForgotten = (at = 0, beforeMs = 0) =>
    losses.some(([start, end]) => at >= start - beforeMs && at <= end);
  const faults: string[] = [];
  const heard = new Map<number, number>();
  let last = -1;
  for (const [i, number] of to.heard.entries()) {
    const before = heard.get(number);
    if (before === undefined && number < last) faults.push(`mail ${number} came after ${last}`);
    // Redis may have forgotten that it was acknowledged. Another connection gets it again then.
    if (before !== undefined && !isForgotten(before, 1_000))
      faults.push(`mail ${number} came again`);
    heard.set(number, before ?? (to.heardAt[i] as number));
    last = Math.max(last, number);
  }
  for (let number = 0; number < from.stored; number++) {
    if (!heard.has(number) && !isForgotten(from.storedAt[number])) {
      faults.push(`mail ${number} of ${from.stored} was not heard (${to.state})`);
    }
  }
  return faults;
}

/** A frame each way arrives: who is in a seat hears the other. Sent anew every 50 ms, as frames may be lost. */
async function framesPass(a: Talker, b: Talker): Promise<void> {
  let number = 0;
  await becomes("a frame each way", async () => {
    number++;
    a.relay(number);
    b.relay(number);
    await Bun.sleep(50);
    return a.frames.length > 0 && b.frames.length > 0;
  });
}

/** When a fault comes, and how long it lasts, is drawn: these sleeps wait for nothing. */
async function misbehave(
  nodes: readonly ChaosNode[],
  store: ChaosStore,
  random: (below: number) => number,
  seconds: number,
  say: (line: string) => void,
): Promise<Record<string, number>> {
  const actions: Record<string, number> = {};
  const endAt = performance.now() + seconds * 1_000;
  while (performance.now() < endAt) {
    await Bun.sleep(200 + random(600));
    const node = nodes[random(nodes.length)] as ChaosNode;
    const lastsMs = 100 + random(2_400);
    const faults = ["kill a node", "stop a node", ...Object.keys(store.faults)];
    const what = faults[random(faults.length)] as string;
    actions[what] = (actions[what] ?? 0) + 1;
    say(`${what} for ${lastsMs} ms`);
    switch (what) {
      case "kill a node":
        await node.kill();
        await Bun.sleep(lastsMs / 4);
        node.run();
        break;
      case "stop a node":
        node.signal("SIGSTOP");
        await Bun.sleep(lastsMs);
        node.signal("SIGCONT");
        break;
      default:
        await store.faults[what]?.(lastsMs);
    }
  }
  return actions;
}

/** A WebSocket that goes to whichever node comes up. */
function roaming(choose: () => ChaosNode): new (url: string, protocol: string) => WebSocket {
  return class extends WebSocket {
    constructor(url: string, protocol: string) {
      super(url.replace("anywhere", `127.0.0.1:${choose().port}`), protocol);
    }
  };
}

async function all<T>(things: readonly T[], is: (thing: T) => Promise<boolean>): Promise<boolean> {
  return (await Promise.all(things.map(is))).every(Boolean);
}
