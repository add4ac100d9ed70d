import { expect, test } from "bun:test";
import { exchange, rawRequest } from "../support/raw-http.ts";
import { testServer } from "../support/server.ts";

// What pages, balancers and scrapers ask before and beside the calls themselves.

const page = "https://app.example.com";
const preflight = (headers: Readonly<Record<string, string>>) => ({
  method: "OPTIONS",
  target: "/rendezvous/code",
  headers: { Origin: page, "Access-Control-Request-Method": "POST", ...headers },
});

test("a page may send whatever headers its libraries add", async () => {
  await using server = await testServer({ CORS_ORIGINS: page });
  const asked = "content-type,traceparent,x-b3-traceid";
  const answer = await rawRequest(
    server.http,
    preflight({ "Access-Control-Request-Headers": asked }),
  );
  expect(answer.status).toBe(204);
  expect(answer.headers.get("access-control-allow-headers")).toBe(
    "Content-Type, traceparent, x-b3-traceid",
  );
  expect(answer.headers.get("vary")).toContain("Access-Control-Request-Headers");
  expect(answer.headers.get("access-control-max-age")).toBe("600");
});

test.each(["a b", "x\u00e9", `x-${"y".repeat(2_000)}`, ",,,", '"'])(
  "the wish for %j in a preflight is not repeated",
  async (asked) => {
    await using server = await testServer({ CORS_ORIGINS: page });
    const headers = { "Access-Control-Request-Headers": asked };
    const answer = await rawRequest(server.http, preflight(headers));
    expect(answer.headers.get("access-control-allow-headers")).toBe("Content-Type");
  },
);

test("a listed page of the internet may call a server of a private network", async () => {
  await using server = await testServer({ CORS_ORIGINS: page });
  const headers = { "Access-Control-Request-Private-Network": "true" };
  const answer = await rawRequest(server.http, preflight(headers));
  expect(answer.headers.get("access-control-allow-private-network")).toBe("true");
});

test("OPTIONS says of health and readiness what GET says", async () => {
  await using server = await testServer();
  for (const target of ["/healthz", "/readyz"]) {
    const answer = await rawRequest(server.http, { method: "OPTIONS", target });
    expect([answer.status, answer.headers.get("allow")]).toEqual([200, "GET, HEAD, OPTIONS"]);
  }
});

test.each([
  "X-Forwarded-For",
  "X-Forwarded-Proto",
  "X-FORWARDED-HOST",
  "Forwarded",
  "Via",
  "X-Real-IP",
  "CF-Connecting-IP",
  "True-Client-IP",
  "Fastly-Client-IP",
  "X-Client-IP",
  "X-Azure-ClientIP",
  "X-Envoy-External-Address",
  "X-Whom-Our-Proxy-Names",
])("with %s the metrics are given for METRICS_TOKEN alone", async (header) => {
  const env = { CLIENT_IP_HEADER: "X-Whom-Our-Proxy-Names" };
  await using open = await testServer(env);
  await using closed = await testServer({ ...env, METRICS_TOKEN: "hush" });
  const status = async (http: string, target: string, headers: Record<string, string>) => {
    const { socket, status } = await exchange(http, { target, headers });
    socket.destroy();
    return status;
  };
  const proxied = { [header]: "203.0.113.9" };
  for (const target of ["/metrics", "/.\\metrics", "/a\\..\\metrics", "/%2e\\metrics"]) {
    expect([target, await status(open.http, target, proxied)]).toEqual([target, 401]);
    expect(await status(closed.http, target, proxied)).toBe(401);
  }
  expect(await status(open.http, "/metrics", {})).toBe(200);
  const shown = { ...proxied, Authorization: "Bearer hush" };
  expect(await status(closed.http, "/metrics", shown)).toBe(200);
});
