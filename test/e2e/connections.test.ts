import { expect, test } from "bun:test";
import net from "node:net";
import { nginxMissing, startNginx } from "../support/nginx.ts";
import { KeptConnection, rawRequest } from "../support/raw-http.ts";
import { testServer } from "../support/server.ts";
import { within } from "../support/waiting.ts";

/** Everything that comes in answer to `text`, until the server ends the connection. */
function untilEnd(port: number, text: string): Promise<string> {
  const socket = net.connect(port, "127.0.0.1", () => socket.write(text));
  let read = "";
  socket.on("data", (chunk) => {
    read += chunk;
  });
  return within(
    `the end of the connection after ${text}`,
    new Promise((resolve, reject) => {
      socket.on("close", () => resolve(read));
      socket.on("error", reject);
    }),
    20_000,
  );
}

test("a connection that has had a request outlives one that has had none", async () => {
  await using server = await testServer();
  await using kept = await KeptConnection.open(server.url);
  expect(await untilEnd(server.port, "")).toBe("");
  expect((await kept.ask("GET /healthz")).status).toBe(200);
}, 30_000);

test("IDLE_TIMEOUT ends a kept connection, and is more than a proxy's 60 s unless it is given", async () => {
  await using server = await testServer({ IDLE_TIMEOUT: "1s" });
  await using kept = await KeptConnection.open(server.url);
  await kept.over();
  await using none = await testServer({ IDLE_TIMEOUT: "0" });
  expect(await untilEnd(none.port, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")).toContain(
    "Connection: close",
  );
}, 30_000);

test.each([
  "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close",
  "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: CLOSE",
  "GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: foo,Close , bar",
  "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: foo\r\nConnection: close",
  "POST /rendezvous/code HTTP/1.1\r\nHost: a\r\nConnection: close",
  "OPTIONS /readyz HTTP/1.0",
  "HEAD /healthz HTTP/1.0",
])("%j is answered with Connection: close, and the connection ends", async (head) => {
  await using server = await testServer();
  expect(await untilEnd(server.port, `${head}\r\n\r\n`)).toMatch(/^Connection: (?:.*, )?close\r$/m);
});

test("HTTP/1.0 without Host is served, as load balancers check health", async () => {
  await using server = await testServer();
  const answer = await untilEnd(server.port, "GET /healthz?probe=1 HTTP/1.0\r\n\r\n");
  expect(answer).toStartWith("HTTP/1.1 200 ");
  expect(answer).toEndWith('{"ok":true}');
});

test.each([
  "Host: a\r\nHost: b",
  "Host: a\r\nhOST: a",
  "Host: a, b",
  "Host: a b",
  "Host: user@a",
  "Host: a/b",
  "Host: [::1",
  "Host: a:1:2",
  "Host: a:x",
  "X: no host",
])("%j is refused with 400, for calls and for sockets", async (host) => {
  await using server = await testServer();
  for (const target of ["/healthz", `/ws?appID=${crypto.randomUUID()}&side=A`]) {
    const upgrade =
      "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==";
    const request = `GET ${target} HTTP/1.1\r\n${host}\r\n${upgrade}\r\nConnection: Upgrade, close\r\n\r\n`;
    expect(await untilEnd(server.port, request)).toStartWith("HTTP/1.1 400 ");
  }
});

test.each(["a", "A.example:1234", "127.0.0.1:", "[::1]:80", "[fe80::1%25eth0]", "_dmarc.a-b", ""])(
  "Host: %s is one",
  async (host) => {
    await using server = await testServer();
    const request = `GET /healthz HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
    expect(await untilEnd(server.port, request)).toStartWith("HTTP/1.1 200 ");
  },
);

test("past its share of MAX_SOCKETS a client's connections are not kept, and another's are", async () => {
  // An eighth of 80 is 10.
  await using server = await testServer({ MAX_SOCKETS: "80" });
  await using connections = new AsyncDisposableStack();
  const kept = async (client: string) => {
    const one = connections.use(KeptConnection.connect(server.url));
    const answer = await one.ask("GET /healthz", [`X-Forwarded-For: ${client}`]);
    return answer.headers.get("connection") === null;
  };
  const ofOne: boolean[] = [];
  for (let n = 0; n < 15; n++) ofOne.push(await kept("198.51.100.1"));
  expect(ofOne).toEqual([...new Array(10).fill(true), ...new Array(5).fill(false)]);
  expect(await kept("198.51.100.2")).toBe(true);
  // The scrape's own connection is one of them.
  expect(await server.metric("nt_http_connections")).toBe(12);
  expect(await server.metric("nt_http_unkept_total")).toBe(5);
});

const behindNginx = test.skipIf(nginxMissing);

behindNginx(
  "nginx, which keeps connections, fails no request of clients that end theirs",
  async () => {
    await using server = await testServer({ CODES_PER_CLIENT: "0" });
    // As many write it: what the client says of its own connection is passed on.
    const passed = { "Connection $nt_signal_connection": "Connection $http_connection" };
    await using nginx = await startNginx(server.port, passed);
    const statuses = new Set<number>();
    for (let n = 0; n < 100; n++) {
      const posts = Array.from({ length: 3 }, () =>
        rawRequest(nginx.https, { method: "POST", target: "/rendezvous/code" }),
      );
      for (const { status } of await Promise.all(posts)) statuses.add(status);
    }
    expect([...statuses]).toEqual([200]);
  },
  30_000,
);
