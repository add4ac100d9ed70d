import { expect, test } from "bun:test";
import { chance } from "../support/chance.ts";
import { frameCase } from "./frames.ts";
import { leakIn } from "./leaks.ts";
import { requestCase } from "./requests.ts";
import { fuzz } from "./run.ts";

// npm run fuzz goes on for as long as one likes; this is a taste of it.
test("some hundred frames and requests of nonsense harm nobody, and are forgotten", async () => {
  const done = await fuzz({ seed: 7, frames: 900, requests: 90, batch: 300 });
  expect(done).toMatchObject({ batches: 3, frames: 900, requests: 90 });
});

test("the same seed draws the same nonsense", () => {
  const [one, two, other] = [chance(1), chance(1), chance(2)];
  const cases = (draws: typeof one) =>
    Array.from({ length: 500 }, () => [frameCase(draws), requestCase(draws)]);
  const drawn = JSON.stringify(cases(one));
  expect(JSON.stringify(cases(two))).toBe(drawn);
  expect(JSON.stringify(cases(other))).not.toBe(drawn);
});

test("every kind of frame and request comes up", () => {
  const draws = chance(1);
  const frames = new Set(Array.from({ length: 50_000 }, () => frameCase(draws).what));
  const requests = new Set(Array.from({ length: 5_000 }, () => requestCase(draws).what));
  for (const what of ["noise", "deep nesting", "a message in parts", "a frame without a mask"]) {
    expect(frames).toContain(what);
  }
  for (const what of ["CL and TE", "a body of 10 MB", "random bytes", "a body in chunks"]) {
    expect(requests).toContain(what);
  }
});

test.each([
  "TypeError: x is not a function",
  "Error\n    at fetch (server.ts:1)",
  '{"detail":"Error\\n    at async x"}',
  "ENOENT: no such file, open '/home/app/secret'",
  "/$bunfs/root/nt-signal",
])("what should stay inside is noticed: %s", (answer) => {
  expect(leakIn(answer)).toBeDefined();
});

test.each([
  '{"status":400,"title":"Bad Request","code":"malformed","detail":"appID must be a UUID."}',
  '{"type":"error","code":"bad_field","detail":"send: to must be A or B."}',
  "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET, HEAD, OPTIONS\r\n\r\n",
])("what may be told is not held against it: %s", (answer) => {
  expect(leakIn(answer)).toBeUndefined();
});
