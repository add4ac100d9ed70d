import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Later } from "../../src/base/later.ts";
import { Inbox } from "../../src/signaling/inbox.ts";
import { fakeClock } from "../support/clock.ts";
import { FakeConnection } from "../support/fake-connection.ts";

const maxFrameBytes = 1_000;
const chunkBytes = 1_048_576;

/** An inbox whose handler answers what `answer` says, and what it has handled. */
function setUp(answer: (text: string) => Later<void> = () => {}, framesPerSec = 0) {
  const clock = fakeClock();
  const connection = new FakeConnection();
  const handled: string[] = [];
  const options = { clock, wsMaxMsgBytes: maxFrameBytes, framesPerSec };
  const handle = (text: string) => {
    handled.push(text);
    return answer(text);
  };
  const inbox = new Inbox(connection, options, { handle });
  return { clock, connection, handled, inbox };
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
  const open: PromiseWithResolvers<void>[] = [];
  const answer = (): Promise<void> => {
    const one = Promise.withResolvers<void>();
    open.push(one);
    return one.promise;
  };
  /** Settles the oldest, and lets everything that hangs on it happen. */
  const settle = async (how: "resolve" | "reject" = "resolve") => {
    const one = open.shift();
    if (how === "resolve") one?.resolve();
    else one?.reject(new Error("lost"));
    for (let turn = 0; turn < 5; turn++) await Promise.resolve();
  };
  return { open, answer, settle };
}

const names = (count: number, from = 0) => Array.from({ length: count }, (_, i) => `f${from + i}`);

test("a frame is handled in the turn in which it came while nothing is awaited", () => {
  const { connection, handled, inbox } = setUp();
  for (const name of names(100)) {
    expect(inbox.push(name)).toBe(true);
    expect(handled.at(-1)).toBe(name);
  }
  expect(connection.calls).toEqual([]);
});

test("frames wait while one before them is awaited, and keep their order", async () => {
  const { open, answer, settle } = deferred();
  const { handled, inbox } = setUp(answer);
  for (const name of names(3)) inbox.push(name);
  expect(handled).toEqual(["f0"]);
  await settle();
  expect(handled).toEqual(["f0", "f1"]);
  await settle();
  await settle();
  expect(handled).toEqual(names(3));
  expect(open).toEqual([]);
});

test("a frame that came while others wait is handled after them", async () => {
  const { answer, settle } = deferred();
  const { handled, inbox } = setUp((text) => (text === "f0" ? answer() : undefined));
  inbox.push("f0");
  inbox.push("f1");
  await settle();
  inbox.push("f2");
  expect(handled).toEqual(names(3));
});

test("a frame whose handling fails holds nobody up", async () => {
  const { answer, settle } = deferred();
  const { handled, inbox } = setUp(answer);
  inbox.push("f0");
  inbox.push("f1");
  await settle("reject");
  expect(handled).toEqual(names(2));
});

test("a queued frame whose handler throws is told of, and those behind it are handled", () => {
  const { clock, connection, handled, inbox } = setUp((text) => {
    if (text === "f20") throw new Error("it fails");
  });
  inbox.hold();
  for (const name of names(40)) inbox.push(name);
  expect(isRead(connection)).toBe(false);
  expect(() => inbox.release()).toThrow("it fails");
  clock.advance(0);
  expect(handled).toEqual(names(40));
  expect(isRead(connection)).toBe(true);
});

test("held frames wait for release, then go in order", () => {
  const { handled, inbox } = setUp();
  inbox.hold();
  for (const name of names(5)) inbox.push(name);
  expect(handled).toEqual([]);
  inbox.release();
  expect(handled).toEqual(names(5));
});

test("a release does not overtake a frame that is being awaited", async () => {
  const { answer, settle } = deferred();
  const { handled, inbox } = setUp(answer);
  inbox.push("f0");
  inbox.hold();
  inbox.push("f1");
  inbox.release();
  expect(handled).toEqual(["f0"]);
  await settle();
  expect(handled).toEqual(names(2));
});

test("what was awaited does not end a hold", async () => {
  const { answer, settle } = deferred();
  const { handled, inbox } = setUp(answer);
  inbox.push("f0");
  inbox.hold();
  inbox.push("f1");
  await settle();
  expect(handled).toEqual(["f0"]);
  inbox.release();
  expect(handled).toEqual(names(2));
});

test("a hold that begins in a frame's handling stops those behind it", () => {
  const { handled, inbox } = setUp((text) => {
    if (text === "f1") inbox.hold();
  });
  inbox.hold();
  for (const name of names(3)) inbox.push(name);
  inbox.release();
  expect(handled).toEqual(["f0", "f1"]);
  inbox.release();
  expect(handled).toEqual(names(3));
});

test("the connection is read from until 32 frames wait, and again when none does", () => {
  const { connection, inbox } = setUp();
  inbox.hold();
  for (const name of names(31)) inbox.push(name);
  expect(isRead(connection)).toBe(true);
  inbox.push("f31");
  expect(isRead(connection)).toBe(false);
  inbox.release();
  expect(isRead(connection)).toBe(true);
});

test("the connection is read from until a whole frame's size waits", () => {
  const { connection, inbox } = setUp();
  inbox.hold();
  inbox.push("x".repeat(maxFrameBytes - 1));
  expect(isRead(connection)).toBe(true);
  inbox.push("x");
  expect(isRead(connection)).toBe(false);
});

test("a paused connection is not resumed while some frames still wait", async () => {
  const { answer, settle } = deferred();
  const { connection, inbox } = setUp((text) => (text === "f20" ? answer() : undefined));
  inbox.hold();
  for (const name of names(40)) inbox.push(name);
  inbox.release();
  expect(isRead(connection)).toBe(false);
  await settle();
  expect(isRead(connection)).toBe(true);
});

test("what was read before the pause is still queued; beyond that a frame is refused", () => {
  const { handled, inbox } = setUp();
  const bound = 2 * maxFrameBytes + chunkBytes;
  inbox.hold();
  expect(inbox.push("x".repeat(bound))).toBe(true);
  expect(inbox.push("y")).toBe(false);
  inbox.release();
  expect(handled).toHaveLength(1);
  expect(inbox.push("z")).toBe(true);
});

test("discard drops what waits and says how much that was", () => {
  const { handled, inbox } = setUp();
  inbox.hold();
  for (const name of names(5)) inbox.push(name);
  expect(inbox.discard()).toBe(5);
  expect(inbox.discard()).toBe(0);
  inbox.release();
  expect(handled).toEqual([]);
});

test("discard frees the space of what it dropped", () => {
  const { inbox } = setUp();
  inbox.hold();
  inbox.push("x".repeat(2 * maxFrameBytes + chunkBytes));
  inbox.discard();
  expect(inbox.push("y")).toBe(true);
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

test("a connection that sends too fast is not read from until its frames were handled in time", () => {
  const { clock, connection, handled, inbox } = setUp(undefined, 10);
  for (const name of names(25)) inbox.push(name);
  expect(handled).toEqual(names(20));
  expect(isRead(connection)).toBe(false);
  clock.advance(99);
  expect(handled).toEqual(names(20));
  clock.advance(1);
  expect(handled).toEqual(names(21));
  clock.advance(400);
  expect(handled).toEqual(names(25));
  expect(isRead(connection)).toBe(true);
});

test("held frames spend their share when they are released, and stay in order", () => {
  const { clock, handled, inbox } = setUp(undefined, 10);
  inbox.hold();
  for (const name of names(30)) inbox.push(name);
  inbox.release();
  expect(handled).toEqual(names(20));
  inbox.push("f30");
  clock.advance(2_000);
  expect(handled).toEqual(names(31));
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
