import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { chmod, mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { selfSigned } from "../../src/server/self-signed.ts";
import { command, Program, requireProgram } from "../support/program.ts";
import { until } from "../support/waiting.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "nt-signal-desk-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test.each(["warn", "error"])("PORT=0 tells its address also with LOG_LEVEL=%s", async (level) => {
  await using program = await Program.start({ LOG_LEVEL: level });
  expect((await fetch(new URL("healthz", await program.listening()))).status).toBe(200);
});

test("--quiet leaves the address and errors", async () => {
  await using program = await Program.start({ DRAIN: "1s" }, "--quiet", "-p", "0");
  await program.listening();
  program.signal("SIGTERM");
  expect(await program.exit()).toBe(0);
  expect(program.log().map(({ msg }) => msg)).toEqual(["listening"]);
});

test("--port-file holds the port as long as it listens", async () => {
  const file = join(folder, "port");
  await using program = await Program.start({}, "--port-file", file);
  const { port } = await program.listening();
  expect(await Bun.file(file).text()).toBe(`${port}\n`);
  program.signal("SIGTERM");
  expect(await program.exit()).toBe(0);
  expect(await Bun.file(file).exists()).toBe(false);
  await Bun.write(join(folder, "file"), "");
  await using without = await Program.start({ PORT_FILE: join(folder, "file/port") });
  expect(await without.exit()).toBe(1);
  expect(without.stderr).toMatch(/^PORT_FILE=".*" cannot be written .*\n$/);
});

test.skipIf(process.platform !== "linux")(
  "--open opens the page, and says where it cannot",
  async () => {
    const opened = join(folder, "opened");
    await Bun.write(join(folder, "bin/xdg-open"), `#!/bin/sh\nprintf %s "$1" > ${opened}\n`);
    await chmod(join(folder, "bin/xdg-open"), 0o755);
    await using program = await Program.start({ PATH: join(folder, "bin") }, "--open");
    const { href } = await program.listening();
    await until("the page to be opened", async () => {
      return (await Bun.file(opened).exists()) && (await Bun.file(opened).text()) === href;
    });
    await using without = await Program.start({ PATH: folder }, "--open");
    expect(await without.logged("the page cannot be opened")).toMatchObject({ level: "warn" });
  },
);

describe("a terminal", () => {
  /** What it shows of a server, until that says how to stop it, or where it listens. */
  async function shown(...args: string[]): Promise<string> {
    let text = "";
    const env = { PATH: process.env["PATH"] ?? "", PORT: "0", TERM: "xterm" };
    const terminal = { cols: 100, rows: 50, data: (_: unknown, bytes: Uint8Array) => add(bytes) };
    const add = (bytes: Uint8Array) => {
      text += Buffer.from(bytes).toString();
    };
    const child = Bun.spawn([...command, ...args], { env, terminal });
    await until("the terminal to show it", () => /Ctrl\+C|listening[^\n]*\n/.test(text));
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
    return text;
  }

  test("shows the address, and a QR code and a warning where others reach it", async () => {
    const local = await shown("--host", "127.0.0.1");
    expect(local).toMatch(/http:\/\/127\.0\.0\.1:\d+ /);
    expect(local).not.toContain("Any web page may connect");
    expect(local).not.toContain("▀");
    const open = await shown();
    expect(open).toContain("Any web page may connect");
    // Only a machine with a network has an address for a phone.
    expect(open.includes("▀")).toBe(open.includes("or on a phone"));
  });

  test("shows nothing but the address with --quiet", async () => {
    const text = await shown("--quiet", "--host", "127.0.0.1");
    expect(text.trim().split("\n")).toEqual([expect.stringContaining("http://127.0.0.1:")]);
  });
});

describe("a certificate of the server's own", () => {
  test("is for this machine, kept for this user alone, and told by its fingerprint", async () => {
    const env = { HOME: join(folder, "home"), TLS_SELF_SIGNED: "true" };
    await using program = await Program.start(env);
    const { port } = await program.listening();
    const cache = join(folder, "home/.cache/nt-signal");
    const ca = await Bun.file(join(cache, "certificate.pem")).text();
    for (const host of ["127.0.0.1", "localhost"]) {
      const answer = await fetch(`https://${host}:${port}/healthz`, { tls: { ca } });
      expect(answer.status).toBe(200);
    }
    expect((await stat(cache)).mode & 0o777).toBe(0o700);
    expect((await stat(join(cache, "key.pem"))).mode & 0o777).toBe(0o600);
    const { fingerprint256 } = new X509Certificate(ca);
    expect(await program.logged("listening")).toMatchObject({ fingerprint: fingerprint256 });
    await using next = await Program.start(env);
    expect(await next.logged("listening")).toMatchObject({ fingerprint: fingerprint256 });
    await using healthy = await Program.start({ ...env, PORT: String(port) }, "healthcheck");
    expect(await healthy.exit()).toBe(0);
    expect((await readdir(cache)).toSorted()).toEqual(["certificate.pem", "key.pem"]);
  });

  test("needs a folder to be kept in, and no other certificate", async () => {
    await Bun.write(join(folder, "file"), "");
    const env = { XDG_CACHE_HOME: join(folder, "file"), TLS_SELF_SIGNED: "true" };
    await using program = await Program.start(env);
    expect(await program.exit()).toBe(1);
    expect(program.stderr).toContain("TLS_SELF_SIGNED cannot keep its certificate");
    await using both = await Program.start({ ...env, TLS_CERT_FILE: "/c", TLS_KEY_FILE: "/k" });
    expect(await both.exit()).toBe(1);
    expect(both.stderr).toContain('TLS_SELF_SIGNED="true": not set, because TLS_CERT_FILE is');
  });

  test("is made anew before it ends, for other addresses, and where its key was not safe", async () => {
    const day = 86_400_000;
    let now = Date.now();
    const place = join(folder, "renewed");
    const names = ["localhost", "192.0.2.7", "2001:db8:0:0::7"];
    const next = async (...more: string[]) =>
      (await selfSigned(place, [...names, ...more], { now: () => now })).fingerprint;
    const seen = [await next()];
    const isNew = async (...more: string[]) => {
      const fingerprint = await next(...more);
      const known = seen.includes(fingerprint);
      seen.push(fingerprint);
      return !known;
    };
    expect(await isNew()).toBe(false);
    now += 300 * day;
    expect(await isNew()).toBe(false);
    now += 50 * day;
    expect(await isNew()).toBe(true);
    expect(await isNew("198.51.100.9")).toBe(true);
    // Back in the former network.
    expect(await isNew()).toBe(false);
    expect(await isNew("198.51.100.9")).toBe(false);
    await chmod(join(place, "key.pem"), 0o644);
    expect(await isNew()).toBe(true);
    await Bun.write(join(place, "certificate.pem"), "damaged");
    expect(await isNew()).toBe(true);
    const certificate = new X509Certificate(await Bun.file(join(place, "certificate.pem")).text());
    for (const address of ["192.0.2.7", "2001:db8::7"]) {
      expect(certificate.checkIP(address)).toBeDefined();
    }
    const openssl = requireProgram("openssl");
    if (openssl.missing) return;
    const args = ["verify", "-no_check_time", "-x509_strict", "-purpose", "sslserver"];
    const own = ["-partial_chain", "-trusted", "certificate.pem", "certificate.pem"];
    const verified = Bun.spawn([openssl.path, ...args, ...own], { cwd: place, stderr: "pipe" });
    expect([await verified.stdout.text(), await verified.stderr.text()]).toEqual([
      "certificate.pem: OK\n",
      "",
    ]);
  });
});
