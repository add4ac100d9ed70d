import { expect, test } from "bun:test";
import { sharedMisses } from "../../src/admission/shared-misses.ts";
import { fakeClock } from "../support/clock.ts";

function setUp() {
  const clock = fakeClock();
  return { clock, ...sharedMisses(clock) };
}

/** Whether it has resolved by now. */
async function isOver(wait: Promise<void> | undefined): Promise<boolean> {
  const pending = Promise.resolve("pending");
  return (await Promise.race([wait?.then(() => "over"), pending])) === "over";
}

test("a miss is answered after a second, not before", async () => {
  const { clock, wait } = setUp();
  const waited = wait();
  clock.advance(999);
  expect(await isOver(waited)).toBe(false);
  clock.advance(1);
  await waited;
});

test("twenty may wait at a time; the next is refused at once, until one is answered", async () => {
  const { clock, wait } = setUp();
  const first = wait();
  clock.advance(500);
  const others = Array.from({ length: 19 }, () => wait());
  expect(wait()).toBeUndefined();
  clock.advance(500);
  await first;
  const next = wait();
  expect(next).toBeDefined();
  expect(wait()).toBeUndefined();
  clock.advance(1_000);
  await Promise.all([...others, next]);
});

test("a refused one is asked to stay away as long as the others wait", () => {
  expect(setUp().retryAfterMs).toBe(1_000);
});
