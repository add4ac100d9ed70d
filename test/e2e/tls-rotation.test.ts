import { expect, test } from "bun:test";
import tls from "node:tls";
import { createLog, type Log } from "../../src/telemetry/log.ts";
import { type Certificate, selfSigned } from "../support/certificate.ts";
import { openPair, TestClient } from "../support/client.ts";
import { fakeClock } from "../support/clock.ts";
import { Program } from "../support/program.ts";
import { RawClient } from "../support/raw-client.ts";
import { type TestServer, testServer } from "../support/server.ts";
import { Changes, within } from "../support/waiting.ts";

function envOf({ certFile, keyFile }: Certificate): Record<string, string> {
  return { TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile };
}

/** Writes the files of `renewed` over those that the server was told of. */
async function install(renewed: Certificate, into: Certificate): Promise<void> {
  await Bun.write(into.certFile, await Bun.file(renewed.certFile).text());
  await Bun.write(into.keyFile, await Bun.file(renewed.keyFile).text());
}

type Handshake = Pick<tls.ConnectionOptions, "minVersion" | "maxVersion">;

/** What a new connection meets: the certificate (PEM), or the error of the handshake. */
function met(port: number, versions: Handshake = {}): Promise<string> {
  return within(
    "a handshake",
    new Promise((resolve, reject) => {
      const socket = tls.connect({
        host: "127.0.0.1",
        port,
        rejectUnauthorized: false,
        ...versions,
      });
      socket.once("error", reject);
      socket.once("secureConnect", () => {
        const { raw } = socket.getPeerCertificate();
        socket.destroy();
        resolve(pem(raw));
      });
    }),
  );
}

function pem(der: Buffer): string {
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return ["-----BEGIN CERTIFICATE-----", ...lines, "-----END CERTIFICATE-----", ""].join("\n");
}

/** A log whose lines can be waited for. */
class HeardLog {
  readonly lines: { readonly level: string; readonly msg: string }[] = [];
  private readonly changes = new Changes();
  readonly log: Log = createLog({
    level: "debug",
    now: Date.now,
    write: (line) => {
      this.lines.push(JSON.parse(line));
      this.changes.changed();
    },
  });

  count(msg: string): number {
    return this.lines.filter((line) => line.msg === msg).length;
  }

  async until(msg: string, times = 1): Promise<void> {
    await this.changes.until(`${times} × "${msg}"`, () => this.count(msg) >= times);
  }
}

const renewedMsg = "certificate renewed";
const brokenMsg = "the new certificate cannot be used; the old one stays";
const lookMs = 10_000;

async function relays(a: TestClient, b: TestClient, label: string): Promise<void> {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    const frames = Array.from({ length: 20 }, (_, n) => `{"type":"ice","n":"${label} ${n}"}`);
    for (const frame of frames) from.send(frame);
    expect(await to.nextTexts(20)).toEqual(frames);
  }
}

test("SIGHUP puts a renewed certificate to use, and sockets under the old one live on", async () => {
  await using used = await selfSigned();
  await using renewed = await selfSigned();
  await using program = await Program.start(envOf(used));
  const url = await program.listening();
  const port = Number(url.port);
  expect(await met(port)).toBe(used.cert);
  await using pair = await openPair({ ws: `wss://${url.host}` });

  await install(renewed, used);
  program.signal("SIGHUP");
  await program.logged(renewedMsg);
  for (let i = 0; i < 5; i++) expect(await met(port)).toBe(renewed.cert);
  await relays(pair.a, pair.b, "old");
  await using later = await openPair({ ws: `wss://${url.host}` });
  await relays(later.a, later.b, "new");

  program.signal("SIGTERM");
  for (const peer of [pair.a, pair.b, later.a, later.b]) {
    expect((await peer.closed).code).toBe(1001);
  }
  expect(await program.exit()).toBe(0);
  await expect(met(port)).rejects.toThrow();
  expect(program.stderr).toBe("");
});

test("changed files are noticed without a signal", async () => {
  await using used = await selfSigned();
  await using renewed = await selfSigned();
  const clock = fakeClock();
  const heard = new HeardLog();
  await using server = await testServer(envOf(used), { clock, log: heard.log });
  await install(renewed, used);
  clock.advance(lookMs);
  await heard.until(renewedMsg);
  expect(await met(server.port)).toBe(renewed.cert);
  // Again, and once for each change.
  await using third = await selfSigned();
  await install(third, used);
  clock.advance(lookMs);
  await heard.until(renewedMsg, 2);
  expect(await met(server.port)).toBe(third.cert);
  clock.advance(lookMs);
  await server.reloadTls();
  expect(heard.count(renewedMsg)).toBe(2);
});

test("files that change right after the start are noticed as well", async () => {
  await using used = await selfSigned();
  await using renewed = await selfSigned();
  await using server = await testServer(envOf(used));
  const [cert, key] = [
    await Bun.file(renewed.certFile).text(),
    await Bun.file(renewed.keyFile).text(),
  ];
  await Promise.all([Bun.write(used.certFile, cert), Bun.write(used.keyFile, key)]);
  await server.reloadTls();
  expect(await met(server.port)).toBe(renewed.cert);
});

/** A pair of which A came before and B after a change of certificate. */
async function pairAcross(server: TestServer, used: Certificate, renewed: Certificate) {
  const appId = crypto.randomUUID();
  const old = await TestClient.open(server.ws, appId, "A");
  await install(renewed, used);
  await server.reloadTls();
  expect(await met(server.port)).toBe(renewed.cert);
  const later = await TestClient.open(server.ws, appId, "B");
  for (const peer of [old, later]) await peer.nextOf("room_full");
  return { appId, old, later };
}

test("a pair across a change of certificate relays and mails both ways, in order", async () => {
  await using used = await selfSigned();
  await using renewed = await selfSigned();
  await using server = await testServer(envOf(used));
  const { appId, old, later } = await pairAcross(server, used, renewed);
  await using _old = old;
  await using _later = later;
  await relays(old, later, "across");
  old.send({ type: "send", to: "B", payload: "mail" });
  later.send({ type: "hello" });
  expect(await later.nextOf("send")).toMatchObject({ seq: 1, payload: "mail" });
  // The old one's side is taken over by a socket of the new certificate.
  await old.close();
  await using back = await TestClient.open(server.ws, appId, "A");
  for (const peer of [back, later]) await peer.nextOf("room_full");
  await relays(back, later, "back");
  expect(await server.metric('nt_drops_total{reason="overrun"}')).toBe(0);
});

test.each(["old", "new"])(
  "a slow peer on the %s certificate holds up its sender across both, and loses nothing",
  async (which) => {
    await using used = await selfSigned();
    await using renewed = await selfSigned();
    await using server = await testServer({ ...envOf(used), WS_BUFFER: "65536" });
    const appId = crypto.randomUUID();
    await using first = await RawClient.open(server.ws, { appId, side: "A" });
    await install(renewed, used);
    await server.reloadTls();
    await using second = await RawClient.open(server.ws, { appId, side: "B" });
    for (const peer of [first, second]) await peer.nextText();
    const [slow, sender] = which === "old" ? [first, second] : [second, first];
    slow.pause();
    const count = 600;
    const frames = Array.from(
      { length: count },
      (_, n) => `{"type":"offer","n":${n},"sdp":"${"x".repeat(60_000)}"}`,
    );
    for (const frame of frames) sender.send(frame);
    await server.metricBecomes("nt_ws_paused", (paused) => paused === 1);
    slow.resume();
    for (const frame of frames) expect((await slow.nextText()) === frame).toBe(true);
    await server.metricBecomes("nt_ws_paused", (paused) => paused === 0);
    expect(await server.metric('nt_drops_total{reason="overrun"}')).toBe(0);
    slow.send('{"type":"answer"}');
    expect(await sender.nextText()).toBe('{"type":"answer"}');
  },
);

test("a broken new file keeps the old certificate, and is told once", async () => {
  await using used = await selfSigned();
  await using renewed = await selfSigned();
  const clock = fakeClock();
  const heard = new HeardLog();
  const env = { ...envOf(used), HEARTBEAT: "10m" };
  await using server = await testServer(env, { clock, log: heard.log });
  await using pair = await openPair(server);
  await Bun.write(used.certFile, "garbage");
  clock.advance(lookMs);
  await heard.until(brokenMsg);
  for (let i = 0; i < 3; i++) {
    clock.advance(lookMs);
    expect(await met(server.port)).toBe(used.cert);
  }
  await relays(pair.a, pair.b, "broken");
  await install(renewed, used);
  clock.advance(lookMs);
  await heard.until(renewedMsg);
  expect(await met(server.port)).toBe(renewed.cert);
  expect(heard.count(brokenMsg)).toBe(1);
  const [told] = heard.lines.filter(({ msg }) => msg === brokenMsg);
  expect(told).toMatchObject({ level: "error", reason: expect.stringContaining(used.certFile) });
});

test("half of a renewal, a certificate without its key, waits for the other half", async () => {
  await using used = await selfSigned();
  await using renewed = await selfSigned();
  const heard = new HeardLog();
  await using server = await testServer(envOf(used), { log: heard.log });
  await Bun.write(used.certFile, renewed.cert);
  await server.reloadTls();
  expect(heard.lines.at(-1)).toMatchObject({
    level: "error",
    msg: brokenMsg,
    reason: expect.stringContaining("is not the key of"),
  });
  expect(await met(server.port)).toBe(used.cert);
  await Bun.write(used.keyFile, await Bun.file(renewed.keyFile).text());
  await server.reloadTls();
  expect(heard.count(renewedMsg)).toBe(1);
  expect(await met(server.port)).toBe(renewed.cert);
});

test("a certificate that goes away and comes back unchanged changes nothing", async () => {
  await using used = await selfSigned();
  const heard = new HeardLog();
  await using server = await testServer(envOf(used), { log: heard.log });
  await Bun.file(used.certFile).delete();
  await server.reloadTls();
  expect(heard.count(brokenMsg)).toBe(1);
  await Bun.write(used.certFile, used.cert);
  await server.reloadTls();
  expect(heard.count(renewedMsg)).toBe(0);
  expect(await met(server.port)).toBe(used.cert);
});

test("TLS before 1.2 is refused, before and after a renewal", async () => {
  await using used = await selfSigned();
  await using renewed = await selfSigned();
  await using server = await testServer(envOf(used));
  const speaks = async (version: tls.SecureVersion) =>
    met(server.port, { minVersion: version, maxVersion: version }).then(
      () => true,
      () => false,
    );
  for (const round of ["before", "after"]) {
    const spoken: Record<string, boolean> = {};
    for (const version of ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"] as const) {
      spoken[version] = await speaks(version);
    }
    expect([round, spoken]).toEqual([
      round,
      { TLSv1: false, "TLSv1.1": false, "TLSv1.2": true, "TLSv1.3": true },
    ]);
    await install(renewed, used);
    await server.reloadTls();
  }
});

test("metrics and the end cover sockets of every certificate", async () => {
  await using used = await selfSigned();
  await using renewed = await selfSigned();
  await using server = await testServer({ ...envOf(used), MAX_SOCKETS: "2" });
  const { old, later } = await pairAcross(server, used, renewed);
  await using _old = old;
  await using _later = later;
  expect(await server.metric("nt_ws_open")).toBe(2);
  expect(await server.metric("nt_peers_active")).toBe(2);
  await expect(TestClient.open(server.ws, crypto.randomUUID(), "A")).rejects.toThrow("refused");
  await server.stop();
  for (const peer of [old, later]) expect((await peer.closed).code).toBe(1001);
  await expect(met(server.port)).rejects.toThrow();
});

test("a renewal while the server ends opens nothing anew", async () => {
  await using used = await selfSigned();
  await using renewed = await selfSigned();
  await using server = await testServer(envOf(used));
  await install(renewed, used);
  const reloaded = server.reloadTls();
  const stopped = server.stop();
  await Promise.all([reloaded, stopped, server.reloadTls()]);
  await expect(met(server.port)).rejects.toThrow();
});

test("a port that is taken is noticed with TLS too, also after a renewal", async () => {
  await using used = await selfSigned();
  await using renewed = await selfSigned();
  await using server = await testServer(envOf(used));
  const second = () => testServer({ ...envOf(used), PORT: String(server.port) });
  await expect(second()).rejects.toThrow(/^Port \d+ is in use/);
  await install(renewed, used);
  await server.reloadTls();
  await expect(second()).rejects.toThrow(/^Port \d+ is in use/);
  const plain = testServer({ PORT: String(server.port) });
  await expect(plain).rejects.toThrow(/^Port \d+ is in use/);
  // Nobody was turned to the ones that did not start.
  for (let i = 0; i < 5; i++) expect(await met(server.port)).toBe(renewed.cert);
});
