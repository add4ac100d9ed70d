import { expect, test } from "bun:test";
import { takeoverGuardMaxMs, takeoverGuardMs } from "../../src/engine/engine.ts";
import { TakeoverGuard } from "../../src/engine/memory/takeover-guard.ts";

/** Takes over at 0 and answers the guard with the moment. */
function taken() {
  const guard = new TakeoverGuard();
  expect(guard.allows(0)).toBe(true);
  return guard;
}

test("the first takeover is allowed, at any time", () => {
  for (const now of [0, 1, 1e12]) expect(new TakeoverGuard().allows(now)).toBe(true);
});

test("a takeover is refused until the guard's last millisecond is over", () => {
  for (const [now, allowed] of [
    [0, false],
    [1, false],
    [takeoverGuardMs - 1, false],
    [takeoverGuardMs, true],
    [takeoverGuardMs * 100, true],
  ] as const) {
    expect(`${now} ${taken().allows(now)}`).toBe(`${now} ${allowed}`);
  }
});

test("being refused does not lengthen the guard that refuses", () => {
  const guard = taken();
  for (let now = 0; now < takeoverGuardMs; now += 100) expect(guard.allows(now)).toBe(false);
  expect(guard.allows(takeoverGuardMs)).toBe(true);
});

test("each takeover after a contested guard doubles the span, up to the greatest", () => {
  const guard = taken();
  let now = 0;
  for (const spanMs of [10, 20, 40, 80, 160, 320, 600, 600, 600].map((s) => s * 1_000)) {
    expect(`${spanMs} ${guard.allows(now + spanMs - 1)}`).toBe(`${spanMs} false`);
    now += spanMs;
    expect(`${spanMs} ${guard.allows(now)}`).toBe(`${spanMs} true`);
  }
  expect(takeoverGuardMaxMs).toBe(600_000);
});

test("a guard that nobody contested brings the span back to the first", () => {
  const guard = taken();
  guard.allows(1);
  expect(guard.allows(takeoverGuardMs)).toBe(true);
  const quiet = takeoverGuardMs * 3;
  expect(guard.allows(quiet)).toBe(true);
  expect(guard.allows(quiet + takeoverGuardMs - 1)).toBe(false);
  expect(guard.allows(quiet + takeoverGuardMs)).toBe(true);
});
