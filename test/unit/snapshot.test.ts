import { expect, test } from "bun:test";
import fc from "fast-check";
import { type AppId, newAppId, otherSide, type Side } from "../../src/base/ids.ts";
import {
  type CodeEntry,
  entryCostBytes,
  type Seat,
  type SeatListener,
} from "../../src/engine/engine.ts";
import { type MemoryEngine, memoryEngine } from "../../src/engine/memory/memory.ts";
import { recordSchema } from "../../src/engine/memory/snapshot.ts";
import { client, code, noCodeLimits } from "../contract/seating.ts";
import { fakeClock } from "../support/clock.ts";

const limits = {
  roomTtlMs: 600_000,
  redeemWindowMs: 60_000,
  relayHoldMs: 10_000,
  maxRooms: 100,
  holdMaxFrames: 8,
  holdMaxBytes: 1_000,
  mailboxMaxMails: 6,
  mailboxMaxBytes: 400,
  mailTotalBytes: 1_500 + 3 * entryCostBytes,
};

const rooms: readonly AppId[] = [newAppId(), newAppId(), newAppId()];
const codes = ["1111", "2222", "3333", "44444444"];
const sids = ["", "s", "\u{1f511}", '"\\\u0000'];

const room = fc.nat(rooms.length - 1);
const side = fc.constantFrom<Side>("A", "B");
const at = { room, side };
/** What comes out of JSON as a string: also halves of surrogate pairs. */
const id = fc.oneof(
  fc.constantFrom("a", "b", "__proto__", "\ud800"),
  fc.string({ maxLength: 8, unit: "binary" }),
);
const payload = fc.oneof(
  fc.string({ maxLength: 40, unit: "grapheme" }).map((text) => JSON.stringify(text)),
  fc.constantFrom("1e400", "0.10", "{}", `"${"x".repeat(150)}"`),
);

const step = fc.oneof(
  fc.record({
    do: fc.constant("claim" as const),
    code: fc.constantFrom(...codes),
    appId: fc.uuid(),
  }),
  fc.record({ do: fc.constant("redeem" as const), code: fc.constantFrom(...codes) }),
  fc.record({ do: fc.constant("sit" as const), ...at, sid: fc.constantFrom(...sids) }),
  fc.record({ do: fc.constant("leave" as const), ...at }),
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("send" as const),
      ...at,
      to: side,
      id: fc.option(id, { nil: undefined }),
      payload,
      strict: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("read" as const), ...at }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("hello" as const),
      ...at,
      upTo: fc.oneof(fc.nat(12), fc.constant(2 ** 53 - 2 ** 32)),
    }),
  },
  fc.record({ do: fc.constant("ack" as const), ...at, upTo: fc.nat(12) }),
  fc.record({ do: fc.constant("establish" as const), ...at }),
  fc.record({ do: fc.constant("ice" as const), ...at, redeemed: fc.boolean() }),
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("wait" as const),
      ms: fc.constantFrom(1_000, 9_999, 60_000, 599_999, 600_000),
    }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Two of the rooms were minted, as ever before anybody comes; the third was not. */
const minted: readonly Step[] = [
  { do: "claim", code: "1111", appId: rooms[0] as AppId },
  { do: "claim", code: "2222", appId: rooms[1] as AppId },
];

const listener: SeatListener = {
  relayed: () => true,
  peerJoined() {},
  peerLeft() {},
  peerCongested() {},
  peerDrained() {},
  mailStored() {},
  replaced() {},
  cutOff() {},
  probed: async () => true,
} as SeatListener;

/** An engine and who sits in it, taking one step after the other. */
class Life {
  private readonly seats = new Map<string, Seat>();

  constructor(
    readonly engine: MemoryEngine,
    private readonly advance: (ms: number) => void,
  ) {}

  /** What the engine answers; undefined for what is nobody's to ask. */
  take(step: Step): unknown {
    const { engine } = this;
    if (step.do === "wait") return this.advance(step.ms);
    if (step.do === "redeem") return engine.codes.guess(code(step.code), [], 0);
    if (step.do === "claim") {
      const entry = {
        appId: step.appId as AppId,
        ttlMs: 300_000,
        restMs: 60_000,
        accounts: client("c"),
      };
      const allowances = [{ upToRecent: Number.MAX_SAFE_INTEGER, misses: 3 }];
      return engine.codes.claim([code(step.code)], entry, { ...noCodeLimits, allowances });
    }
    const appId = rooms[step.room] as AppId;
    const key = `${step.room}${step.side}`;
    const seat = this.seats.get(key);
    if (step.do === "sit") {
      if (seat !== undefined) return undefined;
      const { side, sid } = step;
      const accounts = [{ key: side, kind: side === "A" ? "shared" : "client" }] as const;
      const newcomer = { appId, side, sid, accounts, startsRelay: false, listener };
      const taken = engine.seats.take(newcomer, "free");
      if (!("outcome" in taken) || taken.outcome !== "taken") return taken;
      this.seats.set(key, taken.seat);
      // Tokens are another engine's.
      return { ...taken, seat: undefined };
    }
    if (step.do === "ice") {
      const { side, redeemed } = step;
      return engine.rooms.allowsIce(appId, side, redeemed);
    }
    if (seat === undefined) return undefined;
    switch (step.do) {
      case "leave":
        this.seats.delete(key);
        return engine.seats.leave(seat);
      case "send":
        return engine.mailboxes.append(seat, step.to, step);
      case "read":
        return engine.mailboxes.read(seat, 0, 200);
      case "hello":
        return engine.mailboxes.hello(seat, step.upTo);
      case "ack":
        return engine.mailboxes.ack(seat, step.upTo);
      case "establish":
        return engine.rooms.establish(seat);
      default:
        return step satisfies never;
    }
  }

  leaveAll(): void {
    for (const [key, seat] of this.seats) {
      this.seats.delete(key);
      void this.engine.seats.leave(seat);
    }
  }
}

function newEngine(now: () => number): MemoryEngine {
  return memoryEngine({ now, limits, dropped() {} });
}

/** Each record as the text that a file would have of it. */
function saved(engine: MemoryEngine): readonly string[] {
  return Array.from(engine.snapshot(), (record) => JSON.stringify(record));
}

function restore(engine: MemoryEngine, lines: readonly string[]): void {
  for (const line of lines) engine.restore(recordSchema.parse(JSON.parse(line)));
}

test("an engine restored from the text of a snapshot answers as the one it was taken of", () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 40 }),
      fc.constantFrom(0, 5_000, 10_000, 300_000, 700_000),
      fc.array(step, { maxLength: 40 }),
      (before, downMs, after) => {
        const clock = fakeClock();
        const lived = new Life(newEngine(clock.now), clock.advance);
        for (const one of [...minted, ...before]) lived.take(one);
        lived.leaveAll();
        const text = saved(lived.engine);
        clock.advance(downMs);
        const heir = new Life(newEngine(clock.now), clock.advance);
        restore(heir.engine, text);

        // What has expired is swept from both: from then on they are the same.
        const sizes = ({ engine }: Life) => {
          engine.sweep();
          return engine.sizes();
        };
        expect(sizes(heir)).toEqual(sizes(lived));
        const all = sides().flatMap(([room, side]) => [
          { do: "sit" as const, room, side, sid: "s" },
          { do: "read" as const, room, side },
        ]);
        for (const one of [...after, ...all]) {
          const expected = lived.take(one);
          const given = one.do === "wait" ? expected : heir.take(one);
          expect([one, told(given)]).toEqual([one, told(expected)]);
          expect(sizes(heir)).toEqual(sizes(lived));
        }
      },
    ),
    { numRuns: 500 },
  );
});

test("a snapshot of a restored engine is the same text", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const clock = fakeClock();
      const lived = new Life(newEngine(clock.now), clock.advance);
      for (const one of [...minted, ...steps]) lived.take(one);
      lived.leaveAll();
      lived.engine.sweep();
      const text = saved(lived.engine);
      const heir = newEngine(clock.now);
      restore(heir, text);
      const values = (lines: readonly string[]) => lines.map((line) => JSON.parse(line));
      expect(values(saved(heir))).toEqual(values(text));
    }),
    { numRuns: 300 },
  );
});

test("seats that are still taken when the snapshot is taken count as left at that moment", () => {
  const clock = fakeClock();
  const lived = new Life(newEngine(clock.now), clock.advance);
  lived.take({ do: "sit", room: 0, side: "A", sid: "s" });
  lived.take({ do: "sit", room: 0, side: "B", sid: "" });
  clock.advance(60_000);
  const heir = newEngine(clock.now);
  restore(heir, saved(lived.engine));
  expect(heir.sizes()).toMatchObject({ rooms: 1, peers: 0 });
  // A side that left just now has frames held for it.
  const taken = new Life(heir, clock.advance).take({ do: "sit", room: 0, side: "A", sid: "s" });
  expect(taken).toMatchObject({ outcome: "taken", peer: false });
  clock.advance(limits.relayHoldMs);
  heir.sweep();
  expect(heir.sizes()).toMatchObject({ rooms: 1, peers: 1 });
});

test("shares are known again: whoever had its share has it still, and gets it back with its mail", () => {
  const clock = fakeClock();
  const me = [{ key: "192.0.2.1", kind: "client" }] as const;
  const sit = (engine: MemoryEngine, appId: AppId, side: Side): Seat => {
    const newcomer = { appId, side, sid: "", accounts: me, startsRelay: false, listener };
    const taken = engine.seats.take(newcomer, "free");
    if (!("seat" in taken)) throw new Error(JSON.stringify(taken));
    return taken.seat;
  };
  const mail = { payload: `"${"x".repeat(300)}"`, id: "i", strict: false };
  const bounds = {
    ...limits,
    maxRooms: 16,
    mailboxMaxBytes: 4_000,
    mailTotalBytes: 24 * entryCostBytes,
  };
  const open = () => memoryEngine({ now: clock.now, limits: bounds, dropped() {} });
  const lived = open();
  const [appId] = rooms as [AppId];
  lived.mailboxes.append(sit(lived, appId, "A"), "B", mail);
  const heir = open();
  restore(heir, saved(lived));

  expect(() => sit(heir, newAppId(), "A")).toThrow("share_full");
  const [a, b] = [sit(heir, appId, "A"), sit(heir, appId, "B")];
  const next = { ...mail, id: undefined };
  expect(heir.mailboxes.append(a, "B", next)).toEqual({ outcome: "share_full" });
  heir.mailboxes.ack(b, 1);
  expect(heir.mailboxes.append(a, "B", next)).toMatchObject({ outcome: "stored" });
});

function sides(): (readonly [number, Side])[] {
  return rooms.flatMap((_, index) => {
    const first: Side = "A";
    return [[index, first] as const, [index, otherSide(first)] as const];
  });
}

/** A code's entry is told as the contract has it: the record behind it holds more. */
function told(answer: unknown): unknown {
  if (typeof answer !== "object" || answer === null || !("entry" in answer)) return answer;
  const { appId, expiresAt } = answer.entry as CodeEntry;
  return { ...answer, entry: { appId, expiresAt } };
}
