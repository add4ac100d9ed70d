import { expect, test } from "bun:test";
import { operations } from "../../src/http/operations.ts";

/** What `/readyz` answers. */
async function readyz(ready: () => Promise<string | undefined>, warning?: string) {
  const app = operations({
    ready,
    warning: () => warning,
    loadMetrics: () => Promise.reject(new Error("not asked for")),
    metricsRoute: "/metrics",
    metricsToken: "",
    clientIpHeader: "",
  });
  const answer = await app.request("/readyz");
  return [answer.status, await answer.text()] as const;
}

test("readyz warns of what is refused by a server that is ready", async () => {
  const answer = await readyz(() => Promise.resolve(undefined), "Redis is full.");
  expect(answer).toEqual([200, '{"ready":true,"warning":"Redis is full."}']);
});

test("a readiness check that fails is a no, without its cause", async () => {
  const [status, text] = await readyz(() => Promise.reject(new Error("secret-host refused")));
  expect(status).toBe(503);
  expect(text).not.toContain("secret-host");
});
