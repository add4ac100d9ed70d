import { expect, test } from "bun:test";
import fc from "fast-check";
import { LargeFrames } from "../../src/signaling/large-frames.ts";
import { fakeClock } from "../support/clock.ts";

/** Connections that always have a large frame to handle, each of which takes `workMs`. */
function setUp(workMs: number) {
  const clock = fakeClock();
  const frames = new LargeFrames(clock);
  const handled: string[] = [];
  function send(account: string): void {
    if (!frames.begin()) return void frames.wait(account, () => send(account));
    clock.advance(workMs);
    frames.took(workMs, 0);
    handled.push(account);
    frames.wait(account, () => send(account));
  }
  const countOf = (account: string) => handled.filter((one) => one === account).length;
  return { clock, frames, handled, send, countOf };
}

test("whatever they take, large frames have a quarter of the time and one frame more", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 100 }),
      fc.integer({ min: 1, max: 30 }),
      (workMs, connections) => {
        const { clock, frames, send } = setUp(workMs);
        for (let i = 0; i < connections; i++) send(`client ${i}`);
        for (let ms = 0; ms < 5_000; ms += 50) clock.advance(50);
        expect(frames.workedMs).toBeLessThanOrEqual(clock.monotonicMs() / 4 + 10 + workMs);
        expect(frames.workedMs).toBeGreaterThan(clock.monotonicMs() / 4 - 4 * workMs - 60);
      },
    ),
    { numRuns: 50 },
  );
});

test("a client with one large frame waits for one of each other client's, not for all of them", () => {
  const { clock, handled, send, countOf } = setUp(30);
  for (let i = 0; i < 20; i++) send("greedy");
  send("other");
  while (countOf("other") === 0) clock.advance(10);
  expect(handled.length).toBeLessThanOrEqual(4);
});

test("two clients have as much, however many connections each has", () => {
  const { clock, send, countOf } = setUp(20);
  for (let i = 0; i < 19; i++) send("many");
  send("few");
  clock.advance(60_000);
  expect(Math.abs(countOf("many") - countOf("few"))).toBeLessThanOrEqual(2);
});

test("who no longer waits is not called, and holds nobody up", () => {
  const clock = fakeClock();
  const frames = new LargeFrames(clock);
  const called: string[] = [];
  frames.took(100, 0);
  const cancel = frames.wait("a", () => called.push("a"));
  frames.wait("b", () => called.push("b"));
  cancel();
  cancel();
  clock.advance(1_000);
  expect(called).toEqual(["b"]);
  expect([frames.size, frames.begin()]).toEqual([0, true]);
});

test("a turn that is not used is nobody's, and a fault in one is told and ends no other's", () => {
  const clock = fakeClock();
  const frames = new LargeFrames(clock);
  const called: string[] = [];
  frames.took(100, 0);
  frames.wait("a", () => {
    throw new Error("it fails");
  });
  frames.wait("b", () => called.push("b"));
  expect(() => clock.advance(1_000)).toThrow("it fails");
  frames.took(100, 0);
  expect(frames.begin()).toBe(false);
  clock.advance(1_000);
  expect(called).toEqual(["b"]);
});
