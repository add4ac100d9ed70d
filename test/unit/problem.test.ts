import { expect, test } from "bun:test";
import { openApi } from "../../src/http/description/openapi.ts";
import { type ProblemCode, problem, problemCodes } from "../../src/http/problem.ts";

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

test("whoever meets a problem that time heals is told when to come back", () => {
  for (const code of ["sockets_full", "rooms_full", "store_unreachable", "draining"] as const) {
    expect(Number(problem(code).headers.get("retry-after"))).toBeGreaterThan(0);
  }
});

/** Of the upgrade, and of paths and methods that no document describes. */
const undescribed: readonly ProblemCode[] = [
  "unauthorized",
  "not_found",
  "method_not_allowed",
  "upgrade_required",
  "too_many_sockets",
  "too_many_rooms",
  "rooms_full",
  "sockets_full",
];

test("every other problem stands in the API description of some call", () => {
  const described = JSON.stringify(openApi()).matchAll(/"description":"([a-z_, ]+)"/g);
  const codes = new Set([...described].flatMap(([, list = ""]) => list.split(", ")));
  const missing = problemCodes.filter((code) => !codes.has(code));
  expect(missing.toSorted()).toEqual(undescribed.toSorted());
});
