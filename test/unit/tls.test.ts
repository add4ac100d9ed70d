import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StartError } from "../../src/base/errors.ts";
import { loadTls } from "../../src/server/tls.ts";

let folder: string;
const at = (name: string) => join(folder, name);

async function openssl(...args: string[]): Promise<void> {
  const run = Bun.spawn(["openssl", ...args], { stdout: "ignore", stderr: "pipe" });
  if ((await run.exited) !== 0) throw new Error(`openssl ${args[0]}: ${await run.stderr.text()}`);
}

/** Makes `<name>.crt` and `<name>.key`, which belong together. */
function pair(name: string, ...algorithm: string[]): Promise<void> {
  const files = ["-keyout", at(`${name}.key`), "-out", at(`${name}.crt`)];
  return openssl("req", "-x509", "-nodes", ...algorithm, ...files, "-subj", `/CN=${name}`);
}

const p256 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "nt-signal-tls-"));
  await Promise.all([
    pair("one", ...p256),
    pair("two", ...p256),
    pair("rsa", "-newkey", "rsa:2048"),
    pair("ed", "-newkey", "ed25519"),
  ]);
  const encrypt = ["-aes256", "-passout", "pass:secret", "-out", at("encrypted.key")];
  await openssl("pkey", "-in", at("one.key"), ...encrypt);
  const [one, two] = [await Bun.file(at("one.crt")).text(), await Bun.file(at("two.crt")).text()];
  const damaged = two.replace(/\n[^-]{20}/, `\n${"A".repeat(20)}`);
  await Bun.write(at("chain.crt"), one + two);
  await Bun.write(at("reversed.crt"), two + one);
  await Bun.write(at("damaged.crt"), one + damaged);
  await Bun.write(at("empty"), " \n");
  await Bun.write(at("garbage"), "not PEM at all\n");
});

afterAll(() => rm(folder, { recursive: true, force: true }));

function files(cert: string, key: string) {
  return { tlsCertFile: at(cert), tlsKeyFile: at(key) };
}

async function refusal(named: ReturnType<typeof files>): Promise<string> {
  const error = await loadTls(named).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(StartError);
  return error instanceof StartError ? error.message : "";
}

test.each([
  ["one.crt", "one.key"],
  ["rsa.crt", "rsa.key"],
  ["ed.crt", "ed.key"],
  ["chain.crt", "one.key"],
] as const)("%s and %s are handed over as they are", async (cert, key) => {
  expect(await loadTls(files(cert, key))).toEqual({
    cert: await Bun.file(at(cert)).text(),
    key: await Bun.file(at(key)).text(),
  });
});

test("what is handed over serves a client that trusts it", async () => {
  const tls = await loadTls(files("one.crt", "one.key"));
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    tls,
    fetch: () => new Response("hi"),
  });
  try {
    const trust = { ca: tls.cert, serverName: "one", checkServerIdentity: () => undefined };
    const answer = await fetch(server.url, { tls: trust });
    expect(await answer.text()).toBe("hi");
  } finally {
    await server.stop(true);
  }
});

test.each([
  ["missing", "one.key", "TLS_CERT_FILE", "no such file"],
  ["one.crt", "missing", "TLS_KEY_FILE", "no such file"],
  [".", "one.key", "TLS_CERT_FILE", "directory"],
  ["empty", "one.key", "TLS_CERT_FILE", "is empty"],
  ["one.crt", "empty", "TLS_KEY_FILE", "is empty"],
  ["garbage", "one.key", "TLS_CERT_FILE", "no certificate in PEM format"],
  ["one.crt", "garbage", "TLS_KEY_FILE", "no PEM private key"],
  ["one.key", "one.crt", "TLS_CERT_FILE", "swapped"],
  ["damaged.crt", "one.key", "TLS_CERT_FILE", "Certificate 2"],
  ["one.crt", "encrypted.key", "TLS_KEY_FILE", "is encrypted"],
  ["one.crt", "two.key", "TLS_KEY_FILE", "is not the key"],
  ["one.crt", "rsa.key", "TLS_KEY_FILE", "is not the key"],
  ["reversed.crt", "one.key", "TLS_KEY_FILE", "is not the key"],
] as const)("%s with %s is refused: %s %s", async (cert, key, variable, why) => {
  const message = await refusal(files(cert, key));
  const path = variable === "TLS_CERT_FILE" ? at(cert) : at(key);
  expect(message).toContain(`${variable}=${JSON.stringify(path)}`);
  expect(message).toContain(why);
  expect(message).not.toContain("\n");
});

test("a refusal shows nothing of what the files hold", async () => {
  const key = await Bun.file(at("two.key")).text();
  const message = await refusal(files("one.crt", "two.key"));
  const lines = key.split("\n").filter((line) => line !== "" && !line.startsWith("-----"));
  for (const line of lines) expect(message).not.toContain(line);
});
