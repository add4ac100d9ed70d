/**
 * What an operation costs the memory engine with ten, a hundred and a thousand times as much in it.
 * Writes the table of docs/performance.md with --write.
 *
 *     bun test/bench/growth.ts [--most 1000000] [--write]
 */
import { parseArgs } from "node:util";
import { writeSection } from "../../docs/generate.ts";
import { type Account, accountKinds } from "../../src/base/account.ts";
import { cryptoRandom, steadyNow, systemClock } from "../../src/base/clock.ts";
import { type AppId, type Code, newAppId, type Side } from "../../src/base/ids.ts";
import type { Seat, SeatListener } from "../../src/engine/engine.ts";
import { memoryEngine } from "../../src/engine/memory/memory.ts";

const { values } = parseArgs({
  options: {
    most: { type: "string", default: "1000000" },
    write: { type: "boolean", default: false },
  },
});

const day = 86_400_000;
const plenty = 100_000_000;
const digits = 8;
const batches = 15;
/** Operations in a batch: few beside the least that is kept. */
const inBatch = 100;

const listener: SeatListener = {
  relayed: () => true,
  peerJoined() {},
  peerLeft() {},
  peerCongested() {},
  peerDrained() {},
  mailStored() {},
  replaced() {},
  cutOff() {},
  probed: () => Promise.resolve(true),
};

const maxHeld = Object.fromEntries(accountKinds.map((kind) => [kind, plenty]));
const limits = {
  maxLive: plenty,
  maxUsed: plenty,
  maxHeld: maxHeld as Record<Account["kind"], number>,
  allowances: [{ upToRecent: plenty, misses: plenty }],
};

/** An engine with so many codes, rooms of two, sockets and mails, and what can be done in it. */
function world(size: number) {
  const engine = memoryEngine({
    now: steadyNow(systemClock),
    limits: {
      roomTtlMs: day,
      redeemWindowMs: 60_000,
      relayHoldMs: 10_000,
      maxRooms: plenty,
      holdMaxFrames: 128,
      holdMaxBytes: 262_144,
      mailboxMaxMails: 500,
      mailboxMaxBytes: 1_048_576,
      mailTotalBytes: 1e12,
    },
    dropped() {},
  });
  const accounts = (): readonly Account[] => [
    { key: `10.0.${cryptoRandom(250)}.${cryptoRandom(250)}`, kind: "client" },
  ];
  const codes: Code[] = [];
  const seats: Seat[] = [];
  const some = <T>(of: readonly T[]): T => of[cryptoRandom(of.length)] as T;

  function mint(): void {
    const code = String(cryptoRandom(10 ** digits)).padStart(digits, "0") as Code;
    const entry = { appId: newAppId(), ttlMs: day, restMs: day, accounts: accounts() };
    engine.codes.claim([code], entry, limits);
    codes.push(code);
  }
  function sit(appId: AppId, side: Side): Seat {
    const newcomer = { appId, side, sid: "", accounts: accounts(), listener };
    const taken = engine.seats.take(newcomer, "free");
    if (taken instanceof Promise || taken.outcome !== "taken") throw new Error("No seat");
    return taken.seat;
  }
  const mail = { payload: '"x"', id: undefined, strict: false } as const;
  for (let i = 0; i < size; i++) {
    mint();
    const appId = newAppId();
    const a = sit(appId, "A");
    seats.push(a);
    sit(appId, "B");
    void engine.mailboxes.append(a, "B", mail);
  }
  return {
    "mint a code": mint,
    "redeem a code": () => void engine.codes.guess(some(codes), accounts(), 10),
    "enter a room and leave it": () => void engine.seats.leave(sit(newAppId(), "A")),
    "relay a frame": () => void engine.relay.publish(some(seats), '{"type":"ice"}', "ice"),
    "store a mail": () => void engine.mailboxes.append(some(seats), "B", mail),
  };
}

/** The middle batch, in µs an operation. */
function cost(run: () => void): number {
  const all = Array.from({ length: batches }, () => {
    const from = Bun.nanoseconds();
    for (let i = 0; i < inBatch; i++) run();
    return (Bun.nanoseconds() - from) / inBatch / 1000;
  });
  return all.toSorted((a, b) => a - b)[batches >> 1] as number;
}

const most = Number(values.most);
const sizes = [1_000, 10_000, 100_000, 1_000_000].filter((size) => size <= most);
const names = Object.keys(world(1)) as (keyof ReturnType<typeof world>)[];
const found = new Map<string, number[]>(names.map((name) => [name, []]));
for (const name of names) for (let i = 0; i < 20; i++) cost(world(100)[name]);
for (const size of sizes) {
  const full = world(size);
  Bun.gc(true);
  for (const name of names) found.get(name)?.push(cost(full[name]));
}
const row = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
const table = [
  row(["", ...sizes.map((size) => `${size.toLocaleString("en")} of each`)]),
  row(["", ...sizes].map(() => "---")),
  ...[...found].map(([name, all]) => {
    const [first = 1] = all;
    return row([name, ...all.map((us) => `${us.toFixed(2)} µs (× ${(us / first).toFixed(2)})`)]);
  }),
].join("\n");
process.stdout.write(`${table}\n`);
if (values.write) await writeSection("performance.md", "growth", table);
