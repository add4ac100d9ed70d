import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Account } from "../../src/base/account.ts";
import { Ledger } from "../../src/base/ledger.ts";
import { FairQueue } from "../../src/signaling/fair-queue.ts";
import { type Handled, Inbox } from "../../src/signaling/inbox.ts";
import { fakeClock } from "../support/clock.ts";
import { FakeConnection } from "../support/fake-connection.ts";

const maxFrameBytes = 1_000;
const chunkBytes = 1_048_576;
/** What a frame that waits counts beside its characters. */
const bytesPerFrame = 64;
const accounts: readonly Account[] = [{ key: "192.0.2.1", kind: "client" }];

/** An inbox whose handler answers what `answer` says, and what it has handled. */
function setUp(answer: (text: string) => Handled = () => undefined, framesPerSec = 0) {
  const clock = fakeClock();
  const connection = new FakeConnection();
  connection.heardAt = clock.monotonicMs();
  const handled: string[] = [];
  const queued = new Ledger(10_000_000, 4_000_000);
  const fairQueue = new FairQueue(clock, queued, (run) => void clock.after(0, run));
  const options = { clock, wsMaxMsgBytes: maxFrameBytes, framesPerSec, fairQueue };
  const handle = (text: string) => {
    handled.push(text);
    return answer(text);
  };
  const inbox = new Inbox(connection, options, { handle }, accounts);
  /** Another connection's, of this or another client. */
  const another = (of = accounts) => new Inbox(new FakeConnection(), options, { handle }, of);
  return { another, clock, connection, handled, inbox, queued };
}

/** Whether the connection is read from: after what was done to it, no reason is left. */
function isRead({ calls }: FakeConnection): boolean {
  const reasons = new Set<string>();
  for (const call of calls) {
    const [what, reason = ""] = call.split(" ");
    if (what === "pause") reasons.add(reason);
    else reasons.delete(reason);
  }
  return reasons.size === 0;
}

/** Answers that a test settles, in the order in which they were asked for. */
function deferred() {
  const open: PromiseWithResolvers<undefined>[] = [];
  const answer = (): Promise<undefined> => {
    const one = Promise.withResolvers<undefined>();
    open.push(one);
    return one.promise;
  };
  /** Settles the oldest, and lets everything that hangs on it happen. */
  const settle = async (how: "resolve" | "reject" = "resolve") => {
    const one = open.shift();
    if (how === "resolve") one?.resolve(undefined);
    else one?.reject(new Error("lost"));
    for (let turn = 0; turn < 5; turn++) await Promise.resolve();
  };
  return { open, answer, settle };
}

const names = (count: number, from = 0) => Array.from({ length: count }, (_, i) => `f${from + i}`);

test("a frame is handled in the turn in which it came while nothing is awaited", () => {
  const { connection, handled, inbox } = setUp();
  for (const name of names(100)) {
    expect(inbox.push(name)).toBeUndefined();
    expect(handled.at(-1)).toBe(name);
  }
  expect(connection.calls).toEqual([]);
});

test("relayed frames that wait for others under way go on together, and what follows after all", async () => {
  const { open, answer, settle } = deferred();
  const { handled, inbox } = setUp((text) =>
    text === "mail" ? answer() : { mayOverlap: answer() },
  );
  for (const name of ["f0", ...names(3, 1), "mail", "f9"]) inbox.push(name);
  expect(handled).toEqual(["f0"]);
  await settle();
  expect(handled).toEqual(["f0", "f1", "f2", "f3", "mail"]);
  await settle("reject");
  for (let left = open.length; left > 1; left--) await settle();
  expect(handled).not.toContain("f9");
  await settle();
  expect(handled.at(-1)).toBe("f9");
});

test("no more than 64 frames, or the characters of one frame, are under way together", async () => {
  const { open, answer, settle } = deferred();
  const { inbox } = setUp(() => ({ mayOverlap: answer() }));
  for (const name of names(66)) inbox.push(name);
  inbox.push("x".repeat(maxFrameBytes - 2));
  for (const name of names(3)) inbox.push(name);
  await settle();
  expect(open).toHaveLength(64);
  for (let left = 64; left > 0; left--) await settle();
  expect(open).toHaveLength(2);
  for (let left = 2; left > 0; left--) await settle();
  expect(open).toHaveLength(3);
});

test("a queued frame whose handler throws is told of, and those behind it are handled", () => {
  const { clock, connection, handled, inbox } = setUp((text) => {
    if (text === "f20") throw new Error("it fails");
  });
  inbox.hold();
  for (const name of names(32)) inbox.push(name);
  expect(isRead(connection)).toBe(false);
  expect(() => inbox.release()).toThrow("it fails");
  clock.advance(0);
  expect(handled).toEqual(names(32));
  expect(isRead(connection)).toBe(true);
});

test("what was read before the pause is still queued; beyond that a frame is refused", async () => {
  const { answer, settle } = deferred();
  const { handled, inbox, queued } = setUp((text) => (text === "f0" ? answer() : undefined));
  const bound = 2 * maxFrameBytes + chunkBytes;
  inbox.push("f0");
  expect(inbox.push("x".repeat(bound - bytesPerFrame))).toBeUndefined();
  expect(queued.used).toBe(bound);
  expect(inbox.push("y")).toBe("parked_overflow");
  await settle();
  expect(handled).toHaveLength(2);
  expect(queued.used).toBe(0);
  expect(inbox.push("z")).toBeUndefined();
});

test("bytes that wait are counted over all connections, until they are handled or dropped", () => {
  const { another, inbox, queued } = setUp();
  const other = another();
  for (const one of [inbox, other]) {
    one.hold();
    for (const name of names(5)) one.push(name);
  }
  expect(queued.used).toBe(2 * 5 * (2 + bytesPerFrame));
  inbox.release();
  expect(queued.used).toBe(5 * (2 + bytesPerFrame));
  other.discard();
  expect(queued.used).toBe(0);
});

test("past a client's share of all that may wait its frames are refused, and nobody else's", () => {
  const { another, queued } = setUp();
  const full = another();
  queued.add(accounts, 4_000_001);
  full.hold();
  expect(full.push("x")).toBe("client_buffers_full");
  const stranger = another([{ key: "192.0.2.2", kind: "client" }]);
  stranger.hold();
  expect(stranger.push("x")).toBeUndefined();
  queued.add([], 10_000_000);
  expect(stranger.push("x")).toBe("buffers_full");
});

test("discard in a frame's handling drops the frames behind it", () => {
  let dropped = -1;
  const { handled, inbox } = setUp(() => {
    dropped = inbox.discard();
  });
  inbox.hold();
  for (const name of names(3)) inbox.push(name);
  inbox.release();
  expect(handled).toEqual(["f0"]);
  expect(dropped).toBe(2);
});

test("what was discarded while it waited for its share is not handled later", () => {
  const { clock, handled, inbox } = setUp(undefined, 10);
  for (const name of names(25)) inbox.push(name);
  expect(inbox.discard()).toBe(5);
  clock.advance(10_000);
  expect(handled).toEqual(names(20));
});

test("whatever is held, released and awaited in between, frames stay in order and none is lost", async () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ push: fc.boolean() }) },
    { weight: 1, arbitrary: fc.constant("hold" as const) },
    { weight: 2, arbitrary: fc.constant("release" as const) },
    { weight: 3, arbitrary: fc.constant("settle" as const) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const { open, answer, settle } = deferred();
      const { handled, inbox, connection } = setUp((t) =>
        t.endsWith("later") ? answer() : undefined,
      );
      const pushed: string[] = [];
      for (const one of steps) {
        if (one === "hold") inbox.hold();
        else if (one === "release") inbox.release();
        else if (one === "settle") await settle();
        else {
          const text = `${pushed.length} ${one.push ? "later" : "now"}`;
          pushed.push(text);
          inbox.push(text);
        }
        expect(handled).toEqual(pushed.slice(0, handled.length));
      }
      inbox.release();
      while (open.length > 0) await settle();
      expect(handled).toEqual(pushed);
      expect(isRead(connection)).toBe(true);
    }),
  );
});

// ---- large frames ----

const large = "x".repeat(16_385);

test("after one that took long the next large one waits, and so does what is behind it", () => {
  const set = setUp((text) => {
    if (text === large) set.clock.advance(40);
  }, 1_000);
  const { clock, connection, handled, inbox } = set;
  for (const text of [large, "f0", large, "f1"]) inbox.push(text);
  expect(handled).toEqual([large, "f0"]);
  expect(isRead(connection)).toBe(false);
  clock.advance(200);
  expect(handled).toEqual([large, "f0", large, "f1"]);
  expect(isRead(connection)).toBe(true);
});
