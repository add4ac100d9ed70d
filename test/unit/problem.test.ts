import { expect, test } from "bun:test";
import { problem } from "../../src/http/problem.ts";

test("a problem tells its status, title and stable code", async () => {
  const response = problem("code_gone");
  expect(response.status).toBe(410);
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  expect(await response.json()).toEqual({
    status: 410,
    title: "Gone",
    code: "code_gone",
    detail: "The code is unknown, used or expired. Ask for a new one.",
  });
});

test("a detail of its own takes the place of the general one", async () => {
  const response = problem("malformed", { detail: "side must be A or B, not C." });
  expect(await response.json()).toMatchObject({ detail: "side must be A or B, not C." });
});

test("Retry-After is whole seconds, rounded up, at least 1", () => {
  const after = (retryAfterMs: number) =>
    problem("rate_limited", { retryAfterMs }).headers.get("retry-after");
  expect([0, 1, 1_000, 1_001, 59_999].map(after)).toEqual(["1", "1", "1", "2", "60"]);
  expect(problem("rate_limited").headers.has("retry-after")).toBe(false);
});

test("no cache keeps a problem", () => {
  expect(problem("not_found").headers.get("cache-control")).toBe("no-store");
});
