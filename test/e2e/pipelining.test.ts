import { expect, test } from "bun:test";
import net from "node:net";
import { openPair } from "../support/client.ts";
import { type TestServer, testServer } from "../support/server.ts";
import { within } from "../support/waiting.ts";

const request = (target: string) => `GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`;

/** Writes requests in one go, and resolves with how many were answered when the connection ended. */
async function pipelined(server: TestServer, requests: string): Promise<number> {
  const socket = net.connect(server.port, "127.0.0.1");
  let answers = "";
  socket.on("data", (chunk: Buffer) => {
    answers += chunk.toString();
  });
  socket.on("error", () => {});
  const ended = new Promise((resolve) => socket.on("close", resolve));
  socket.write(requests);
  await within("the connection to end", ended);
  return answers.split("HTTP/1.1 200").length - 1;
}

test("some requests may follow each other without waiting for the answers", async () => {
  await using server = await testServer();
  const last = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  expect(await pipelined(server, request("/healthz").repeat(19) + last)).toBe(20);
  expect(await server.metric("nt_http_deferred_total")).toBe(0);
});

test("who writes thousands in one go is cut, and others are served", async () => {
  await using server = await testServer();
  await using pair = await openPair(server);
  const flood = request("/metrics").repeat(10_000);
  const answered = await Promise.all(Array.from({ length: 5 }, () => pipelined(server, flood)));
  for (const count of answered) expect(count).toBeLessThan(1_000);
  expect(await server.metric("nt_http_deferred_total")).toBeGreaterThan(0);
  pair.a.send({ type: "ice" });
  expect(await pair.b.next()).toEqual({ type: "ice" });
});

test("no one who waits for each answer is refused, however many do so at once", async () => {
  await using server = await testServer();
  const all = await Promise.all(
    Array.from({ length: 500 }, () => fetch(`${server.http}/healthz`, { keepalive: false })),
  );
  expect(all.every(({ status }) => status === 200)).toBe(true);
});
