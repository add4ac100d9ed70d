import { join } from "node:path";
import { endsWithUs } from "../bench/children.ts";
import { pinned } from "../bench/subject.ts";
import type { Delay } from "../load/paced-pairs.ts";
import { within } from "../support/waiting.ts";
import type { Attack, Verdict } from "./attack-case.ts";
import { eachOf, from, startTarget, stranger, type Target, tryOpen, upTo } from "./target.ts";

type Bounds = Readonly<Pick<Delay, "p50" | "p99">>;
const most: Bounds = { p50: 20, p99: 200 };
/** The runtime shows nothing of empty parts of a message: the network alone bounds them. */
const mostUnseen: Bounds = { p50: 250, p99: 1_000 };

const boundOf = ({ p50, p99 }: Bounds) => `other pairs' relay p50 < ${p50} ms, p99 < ${p99} ms`;
const bound = boundOf(most);
const [serverCore, attackersCore] = [0, 1];
const measuredSeconds = 3;

/** Those who attack give way to those who measure: the delay is to be the server's. */
function attacker(file: string, ...args: string[]): string[] {
  const command = [process.execPath, join(import.meta.dir, file), ...args];
  return pinned(attackersCore, Bun.which("nice") ? ["nice", "-n", "10", ...command] : command);
}

function told({ p50, p99 }: Bounds): string {
  return `p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`;
}

/** `prepare` is done once the pairs have their rooms. */
async function delaysBeside(
  target: Target,
  floods: readonly string[],
  prepare: (target: Target) => Promise<void>,
  bounds: Bounds,
): Promise<Verdict> {
  const port = String(target.port);
  const pairs = endsWithUs(
    Bun.spawn(
      pinned(attackersCore, [
        process.execPath,
        join(import.meta.dir, "pairs.ts"),
        port,
        String(measuredSeconds),
      ]),
      { stdin: "pipe", stdout: "pipe", stderr: "pipe" },
    ),
  );
  const out = pairs.stdout.getReader();
  const delay = async (): Promise<Delay> => {
    const { value } = await out.read();
    if (value === undefined) throw new Error((await pairs.stderr.text()).trim());
    return JSON.parse(Buffer.from(value).toString()) as Delay;
  };
  const alone = await within("the pairs' delay alone", delay(), 20_000);
  await prepare(target);
  const flooders = floods.map((kind) =>
    endsWithUs(
      Bun.spawn(attacker("flood.ts", port, kind), {
        stdin: "ignore",
        stdout: "ignore",
        stderr: "inherit",
      }),
    ),
  );
  try {
    pairs.stdin.write("go\n");
    pairs.stdin.flush();
    const { p50, p99 } = await within("the pairs' delay", delay(), 60_000);
    return {
      measured: `${told({ p50, p99 })} (alone ${told(alone)})`,
      holds: p50 < bounds.p50 && p99 < bounds.p99,
    };
  } finally {
    for (const child of [...flooders, pairs]) {
      child.kill("SIGKILL");
      await child.exited;
    }
  }
}

async function beside(
  floods: readonly string[],
  env: Readonly<Record<string, string>> = {},
  prepare: (target: Target) => Promise<void> = async () => {},
  bounds = most,
): Promise<Verdict> {
  await using target = await startTarget(env);
  if (Bun.which("taskset")) {
    Bun.spawnSync(["taskset", "-a", "-c", "-p", String(serverCore), String(target.pid)], {
      stdout: "ignore",
    });
  }
  return await delaysBeside(target, floods, prepare, bounds);
}

/** Rooms of nobody in particular in which mail waits, until no more of them are let in. */
async function fillRooms(target: Target): Promise<void> {
  let refused = 0;
  await eachOf(upTo(50_000), 32, async (n) => {
    if (refused > 50) return;
    const client = await tryOpen(target, { headers: from(stranger(n)) });
    if (client === undefined) {
      refused++;
      return;
    }
    client.send('{"type":"send","to":"B","payload":"1"}');
    await client.settled().catch(() => {});
    client.reset();
  });
}

function flood(kind: string, tries: string, short?: true): Attack {
  const run = () => beside([kind]);
  return { name: `work-${kind}`, tries, bound, ...(short && { short }), run };
}

export const work: readonly Attack[] = [
  flood("scrapes", "20 connections that scrape /metrics", true),
  flood("pipelined-scrapes", "the same, 32 requests at a time"),
  {
    name: "work-refused-upgrades",
    tries: "20 connections whose upgrades are refused past MAX_ROOMS (50,000 rooms)",
    bound,
    run: () => beside(["refused-upgrades"], { FRAMES_PER_SEC: "0" }, fillRooms),
  },
  flood("nesting", "20 sockets that send frames of 1 MB, nested 500,000 deep", true),
  flood("many-keys", "20 sockets that send frames of 1 MB with 80,000 keys"),
  flood("escaped-mail", "20 sockets that send mail of 1 MB, all of it escaped"),
  flood("small-frames", "20 sockets that send {} without end"),
  flood("mail-frames", "20 sockets that send mail of one digit without end"),
  flood("acknowledgements", "20 sockets that acknowledge without end"),
  flood("hellos", "20 sockets that say hello without end"),
  flood("wrong-redeems", "20 sockets without a room that redeem wrong codes without end", true),
  flood("minting-frames", "20 sockets that mint by frames without end"),
  flood("wrong-joins", "20 sockets without a room that send wrong joins without end"),
  flood("pongs", "20 sockets that send pongs without end", true),
  flood("pings", "20 sockets that send pings of 125 bytes without end"),
  flood("crowd-nesting", "one client with 500 sockets that send frames of 500 characters, nested"),
  flood("crowd-neighbours", "the same, from the address of the other pairs"),
  flood("crowd-bursts", "one client that sends 200 such frames on each of 950 sockets every 3 s"),
  flood("crowd-small-frames", "one client with 500 sockets that send {} without end"),
  flood("crowd-mail", "one client with 500 sockets that send mail of one digit without end"),
  flood("crowd-large", "one client with 500 sockets that send frames of 1 MB, nested 500,000 deep"),
  flood("crowd-pings", "one client that sends 150 pings on each of 500 sockets ten times a second"),
  {
    name: "work-fragments",
    tries:
      "20 sockets that send empty parts of one message without end, as fast as loopback takes them",
    bound: `${boundOf(mostUnseen)}: no more can be done, as the runtime shows nothing of them`,
    run: () => beside(["fragments"], {}, undefined, mostUnseen),
  },
  flood("many-hops", "20 connections with 12 kB of X-Forwarded-For"),
  flood("many-ipv6-hops", "the same with addresses of IPv6"),
  flood("loopback-hops", "the same with hops that are all trusted"),
  flood("forwarded-hops", "the same in Forwarded"),
  flood("bodies", "20 connections that post 60 kB of open brackets"),
  flood("wrong-codes", "20 connections that redeem wrong codes, 32 requests at a time"),
  flood("mints", "20 connections that mint, 32 requests at a time"),
  flood("unknown-paths", "20 connections that ask for what is not there, 32 requests at a time"),
  flood("pages", "20 connections that load the page"),
  flood("descriptions", "20 connections that load openapi.json"),
  flood("reconnects", "20 clients that open a socket, break it off and come again"),
  {
    name: "work-all-at-once",
    tries: "20 sockets with deep frames, 20 with pongs and 20 connections that scrape",
    bound,
    run: () => beside(["nesting", "pongs", "scrapes"]),
  },
];
