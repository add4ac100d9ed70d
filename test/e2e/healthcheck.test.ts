import { expect, test } from "bun:test";
import { selfSigned } from "../support/certificate.ts";
import { freePort, Program } from "../support/program.ts";
import { testServer } from "../support/server.ts";

test.each([[], ["--ready"]])(
  "a server that is well passes with 0 and no word: %p",
  async (...args) => {
    await using server = await testServer();
    await using check = await Program.start({ PORT: String(server.port) }, "healthcheck", ...args);
    expect(await check.exit()).toBe(0);
    expect(check.stdout + check.stderr).toBe("");
  },
);

test("the port may come from a flag, as the server's may", async () => {
  await using server = await testServer();
  await using check = await Program.start({}, "healthcheck", "--port", String(server.port));
  expect(await check.exit()).toBe(0);
});

test.each(["0.0.0.0", "localhost"])("a server on HOST=%s is asked over loopback", async (host) => {
  await using server = await testServer({ HOST: host });
  const env = { HOST: host, PORT: String(server.port) };
  await using check = await Program.start(env, "healthcheck");
  expect({ exit: await check.exit(), stderr: check.stderr }).toEqual({ exit: 0, stderr: "" });
});

test("a proxy in the environment is not asked", async () => {
  await using server = await testServer();
  const env = {
    PORT: String(server.port),
    HTTP_PROXY: "http://127.0.0.1:1",
    http_proxy: "http://127.0.0.1:1",
  };
  await using check = await Program.start(env, "healthcheck");
  expect({ exit: await check.exit(), stderr: check.stderr }).toEqual({ exit: 0, stderr: "" });
});

test("a self-signed certificate is accepted on loopback", async () => {
  await using certificate = await selfSigned();
  const files = { TLS_CERT_FILE: certificate.certFile, TLS_KEY_FILE: certificate.keyFile };
  await using server = await testServer(files);
  await using check = await Program.start({ ...files, PORT: String(server.port) }, "healthcheck");
  expect({ exit: await check.exit(), stderr: check.stderr }).toEqual({ exit: 0, stderr: "" });
});

async function failure(env: Record<string, string>, ...args: string[]): Promise<string> {
  await using check = await Program.start(env, "healthcheck", ...args);
  expect(await check.exit()).toBe(1);
  expect(check.stdout).toBe("");
  expect(check.stderr.trimEnd()).not.toContain("\n");
  return check.stderr;
}

test("where nothing listens it fails with one line", async () => {
  const port = await freePort();
  const told = await failure({ PORT: String(port) });
  expect(told).toContain(`http://127.0.0.1:${port}/healthz does not answer: nothing listens there`);
});

test("a server that accepts and never answers fails within seconds", async () => {
  const silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  expect(await failure({ PORT: String(silent.port) })).toContain("nothing within 3 s");
  silent.stop(true);
});

test("a server that is not ready fails with its reason", async () => {
  const reason = "The server is stopping.";
  const busy = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: () => Response.json({ ready: false, reason }, { status: 503 }),
  });
  const told = await failure({ PORT: String(busy.port) }, "--ready");
  expect(told).toContain("/readyz answers 503");
  expect(told).toContain(reason);
  await busy.stop(true);
});

test("a port that only the server knows cannot be asked", async () => {
  expect(await failure({ PORT: "0" })).toContain("Set PORT to a certain one");
});

test("wrong settings fail as they do for the server", async () => {
  await using check = await Program.start({ PORT: "x" }, "healthcheck", "--raedy");
  expect(await check.exit()).toBe(1);
  expect(check.stderr).toContain('PORT="x"');
  expect(check.stderr).toContain("--raedy");
});
