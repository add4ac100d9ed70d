import { expect, test } from "bun:test";
import net from "node:net";
import { KeptConnection } from "../support/raw-http.ts";
import { testServer } from "../support/server.ts";
import { within } from "../support/waiting.ts";

/** Headers of a body in each of the two ways in which one can be announced. */
const announced = {
  chunked: () => "Transfer-Encoding: chunked",
  measured: (bytes: number) => `Content-Length: ${bytes}`,
} as const;

function head(path: string, framing: string): string {
  return `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n${framing}\r\n\r\n`;
}

const piece = "x".repeat(65_536);
const chunk = `10000\r\n${piece}\r\n`;
const everything = ["/rendezvous/redeem", "/rendezvous/ice", "/nowhere", "/ws"];
const statuses = { "/rendezvous/redeem": 413, "/rendezvous/ice": 413, "/nowhere": 404, "/ws": 405 };

test.each(everything)("whatever the size of a body, %s answers in problem+json", async (path) => {
  await using server = await testServer();
  const status = statuses[path as keyof typeof statuses];
  for (const bytes of [5_000, 65_537, 1_048_577, 2 ** 40]) {
    await using client = await KeptConnection.open(new URL(server.http));
    await client.write(head(path, announced.measured(bytes)) + "x".repeat(5_000));
    const answer = await client.answer(`${bytes} bytes`);
    expect([bytes, answer.status]).toEqual([bytes, status]);
    expect(answer.headers.get("content-type")).toBe("application/problem+json");
    expect(JSON.parse(answer.body)).toMatchObject({ status });
  }
  await using client = await KeptConnection.open(new URL(server.http));
  await client.write(head(path, announced.chunked()) + chunk);
  expect((await client.answer("a chunk")).status).toBe(status);
});

test("a mint minds a body of no size", async () => {
  await using server = await testServer();
  for (const bytes of [5_000, 65_537, 2 ** 40]) {
    await using client = await KeptConnection.open(new URL(server.http));
    await client.write(head("/rendezvous/code", announced.measured(bytes)) + "x".repeat(5_000));
    const { status, body } = await client.answer(`${bytes} bytes`);
    expect([bytes, status]).toEqual([bytes, 200]);
    expect(JSON.parse(body)).toHaveProperty("appID");
  }
  await using client = await KeptConnection.open(new URL(server.http));
  await client.write(head("/rendezvous/code", announced.chunked()) + chunk);
  expect((await client.answer("a chunk")).status).toBe(200);
});

test("what follows a body that was skipped is the next request", async () => {
  await using server = await testServer();
  await using client = await KeptConnection.open(new URL(server.http));
  for (const path of ["/rendezvous/redeem", "/rendezvous/code", "/nowhere"]) {
    const body = `GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n${"x".repeat(1_000_000)}`;
    await client.write(head(path, announced.measured(body.length)) + body);
    await client.write("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
    expect((await client.answer(path)).headers.get("content-type")).toStartWith("application/");
    expect((await client.answer("readyz")).body).toBe('{"ready":true}');
  }
});

test.each([
  ["measured", "/rendezvous/redeem"],
  ["measured", "/rendezvous/code"],
  ["measured", "/nowhere"],
  ["chunked", "/rendezvous/redeem"],
  ["chunked", "/rendezvous/code"],
  ["chunked", "/nowhere"],
] as const)("a %s body without end, to %s, ends with its connection", async (how, path) => {
  await using server = await testServer();
  const socket = net.connect(server.port, "127.0.0.1");
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  socket.on("error", () => {});
  socket.resume();
  socket.write(head(path, announced[how](2 ** 40)));
  const more = () => {
    while (!socket.destroyed && socket.write(how === "chunked" ? chunk : piece));
  };
  socket.on("drain", more);
  more();
  await within("the connection to close", closed);
  await server.mint();
});
