import { expect, test } from "bun:test";
import { calls, type Services } from "../../src/http/calls.ts";

/** What `/readyz` answers with these checks. */
function readyz(services: Pick<Services, "ready" | "warning">) {
  const call = calls.find(({ path }) => path === "/readyz");
  return call?.handle({} as never, services as Services);
}

test("readyz warns of what is refused by a server that is ready", async () => {
  const answer = await readyz({ ready: () => undefined, warning: () => "Redis is full." });
  expect(answer).toEqual({ ready: true, warning: "Redis is full." });
});

test("a readiness check that fails is a no, without its cause", async () => {
  const ready = () => Promise.reject(new Error("secret-host refused"));
  const answer = (await readyz({ ready, warning: () => undefined })) as Response;
  expect(answer.status).toBe(503);
  expect(await answer.text()).not.toContain("secret-host");
});
