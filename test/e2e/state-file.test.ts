import { expect, test } from "bun:test";
import {
  chmod,
  link,
  mkdir,
  readdir,
  readlink,
  rm,
  stat,
  symlink,
  truncate,
} from "node:fs/promises";
import { join } from "node:path";
import { mint, redeem } from "../../src/client/client.ts";
import { TestClient } from "../support/client.ts";
import { fakeClock } from "../support/clock.ts";
import { temporaryFolder } from "../support/folder.ts";
import { freePort, Program, requireProgram, takenPort } from "../support/program.ts";
import { KeptConnection } from "../support/raw-http.ts";
import { type TestServer, testServer } from "../support/server.ts";
import { Talker } from "../support/talker.ts";

/** A folder, and where the state goes in it. */
async function stateFolder() {
  const folder = await temporaryFolder();
  return { ...folder, file: folder.at("state") };
}

const v2 = { v2: true, sid: "s" };

async function stores(peer: TestClient, id: string, payload: string) {
  peer.send({ type: "send", to: "B", id, payload });
  const { type, seq } = await peer.nextOf("stored");
  return { type, seq };
}

function warnings(server: TestServer): readonly string[] {
  const lines = server.logLines.map((line) => JSON.parse(line) as { level: string; msg: string });
  return lines.filter(({ level }) => level === "warn").map(({ msg }) => msg);
}

// ---- what outlives a restart ----

test("a live code can be redeemed after a restart, a used one is neither redeemed nor minted again", async () => {
  await using folder = await stateFolder();
  const env = { STATE_FILE: folder.file, CODE_DIGITS: "4", CODE_DIGITS_MAX: "4" };
  let drawn = 1111;
  const random = () => drawn;
  await using before = await testServer(env, { random });
  const live = await before.mint();
  drawn = 2222;
  const used = await before.mint();
  expect((await before.redeem(used.code)).status).toBe(200);
  await before.stop();

  await using after = await testServer(env, { random });
  expect(await after.metric("nt_codes_live")).toBe(1);
  expect(await after.metric("nt_codes_resting")).toBe(1);
  const { appID, expiresAt } = live;
  expect(await (await after.redeem(live.code)).json()).toEqual({ appID, expiresAt });
  expect((await after.redeem(live.code)).status).toBe(410);
  expect((await after.redeem(used.code)).status).toBe(410);
  for (const taken of [1111, 2222]) {
    drawn = taken;
    await expect(after.mint()).rejects.toThrow("codes_full");
  }
  drawn = 3333;
  expect((await after.mint()).code).toBe("3333");
});

test("mail keeps its order and seqs, and ids and watermarks are remembered", async () => {
  await using folder = await stateFolder();
  const env = { STATE_FILE: folder.file };
  const appId = crypto.randomUUID();
  await using before = await testServer(env);
  await using a = await TestClient.open(before.ws, appId, "A", v2);
  for (const n of [1, 2, 3]) {
    expect(await stores(a, `id ${n}`, `mail ${n}`)).toEqual({ type: "stored", seq: n });
  }
  await using b = await TestClient.open(before.ws, appId, "B", v2);
  b.send({ type: "hello", deliveredUpTo: 0 });
  await b.nextOf("deliver");
  b.send({ type: "delivered", upTo: 1 });
  await b.settled();
  await before.stop();

  await using after = await testServer(env);
  expect(await after.metric("nt_mails")).toBe(2);
  await using a2 = await TestClient.open(after.ws, appId, "A", v2);
  expect(await stores(a2, "id 2", "mail 2")).toEqual({ type: "stored", seq: 2 });
  expect(await stores(a2, "id 4", "mail 4")).toEqual({ type: "stored", seq: 4 });
  await using b2 = await TestClient.open(after.ws, appId, "B", v2);
  b2.send({ type: "hello", deliveredUpTo: 0 });
  for (const n of [2, 3, 4]) {
    expect(await b2.nextOf("deliver")).toMatchObject({ seq: n, payload: `mail ${n}`, from: "A" });
  }
});

test("mail that was sent but never acknowledged does not count as another life", async () => {
  await using folder = await stateFolder();
  const env = { STATE_FILE: folder.file };
  const appId = crypto.randomUUID();
  await using before = await testServer(env);
  await using a = await TestClient.open(before.ws, appId, "A", v2);
  await using b = await TestClient.open(before.ws, appId, "B", v2);
  b.send({ type: "hello" });
  for (const n of [1, 2]) await stores(a, `id ${n}`, `mail ${n}`);
  for (const n of [1, 2]) expect((await b.nextOf("deliver"))["seq"]).toBe(n);
  await before.stop();

  await using after = await testServer(env);
  await using b2 = await TestClient.open(after.ws, appId, "B", v2);
  b2.send({ type: "hello", deliveredUpTo: 1 });
  expect(await b2.nextOf("deliver")).toMatchObject({ seq: 2, payload: "mail 2" });
});

test("the room of a redeemed code stays a redeemed one, however long ago that was", async () => {
  await using folder = await stateFolder();
  const clock = fakeClock();
  const env = { STATE_FILE: folder.file, ROOM_TTL: "10m", HEARTBEAT: "10m" };
  await using before = await testServer(env, { clock });
  const { code, appID } = await before.mint();
  await before.redeem(code);
  await using peer = await TestClient.open(before.ws, appID, "A");
  for (let minutes = 0; minutes < 30; minutes += 5) {
    peer.send({ type: "hello" });
    await peer.settled();
    clock.advance(5 * 60_000);
  }
  await before.stop();
  // Past RELAY_HOLD, and long before ROOM_TTL is over.
  clock.advance(60_000);
  await using after = await testServer(env, { clock });
  expect(await after.metric("nt_rooms_active")).toBe(1);
});

test("what a server saved whose clock was an hour ahead is over in its time", async () => {
  await using folder = await stateFolder();
  const right = fakeClock();
  const ahead = fakeClock(right.now() + 3_600_000);
  const env = { STATE_FILE: folder.file, ROOM_TTL: "10m" };
  await using before = await testServer(env, { clock: ahead });
  const { appID } = await before.mint();
  await using peer = await TestClient.open(before.ws, appID, "A", v2);
  await stores(peer, "id", "mail");
  await before.stop();
  await using after = await testServer(env, { clock: right });
  expect(await after.metric("nt_rooms_active")).toBe(1);
  right.advance(21 * 60_000);
  for (const gauge of ["nt_rooms_active", "nt_mails", "nt_codes_live", "nt_codes_resting"]) {
    expect([gauge, await after.metric(gauge)]).toEqual([gauge, 0]);
  }
});

test("what has expired meanwhile is left out", async () => {
  await using folder = await stateFolder();
  const clock = fakeClock();
  const env = { STATE_FILE: folder.file, ROOM_TTL: "10m" };
  await using before = await testServer(env, { clock });
  const { code, appID } = await before.mint();
  await using peer = await TestClient.open(before.ws, appID, "A", v2);
  await stores(peer, "id", "mail");
  await using _bare = await TestClient.open(before.ws, crypto.randomUUID(), "A");
  await _bare.settled();
  await before.stop();
  clock.advance(10_000);
  await using soon = await testServer(env, { clock });
  expect(await soon.metric("nt_rooms_active")).toBe(1);
  expect(await soon.metric("nt_mails")).toBe(1);
  await soon.stop();
  clock.advance(20 * 60_000);
  await using late = await testServer(env, { clock });
  for (const gauge of ["nt_rooms_active", "nt_mails", "nt_mailbox_bytes", "nt_codes_live"]) {
    expect([gauge, await late.metric(gauge)]).toEqual([gauge, 0]);
  }
  expect(await late.metric("nt_codes_resting")).toBe(0);
  expect((await late.redeem(code)).status).toBe(410);
});

// ---- the file ----

test("the file is its owner's only, goes when it is loaded, and a crash brings nothing back", async () => {
  await using folder = await stateFolder();
  const env = { STATE_FILE: folder.file };
  // As a crash, or an earlier build, may have left them: open to all.
  for (const name of ["draft", "lock"]) {
    await Bun.write(`${folder.file}.${name}`, "");
    await chmod(`${folder.file}.${name}`, 0o666);
  }
  await using first = await Program.start(env);
  const { code } = await mint((await first.listening()).href);
  first.signal("SIGTERM");
  expect(await first.exit()).toBe(0);
  for (const file of [folder.file, `${folder.file}.lock`]) {
    expect([file, (await stat(file)).mode & 0o777]).toEqual([file, 0o600]);
  }

  await using second = await Program.start(env);
  const url = (await second.listening()).href;
  expect(await second.logged("state restored")).toMatchObject({ codes: 1 });
  expect(await Bun.file(folder.file).exists()).toBe(false);
  await redeem(url, code);
  second.signal("SIGKILL");
  await second.exit();

  await using third = await Program.start(env);
  const gone = redeem((await third.listening()).href, code);
  await expect(gone).rejects.toMatchObject({ code: "code_gone" });
  expect(third.log().map(({ msg }) => msg)).not.toContain("state restored");
});

test.each<[what: string, made: (text: string) => string | Buffer, why: string]>([
  ["is damaged", () => Buffer.from([0, 255, 1, 254]), ""],
  ["is of another program", () => '{"hello":"world"}', ""],
  ["has an earlier format", (text) => text.replace("state 3", "state 2"), "an older"],
  ["has a later format", (text) => text.replace("state 3", "state 4"), "a newer"],
  ["is truncated", (text) => text.slice(0, text.length / 2), ""],
  ["has no end", (text) => text.slice(0, text.lastIndexOf('{"records"')), ""],
  ["has a record less than was written", (text) => text.replace(/\n\{"code".*\n/, "\n"), ""],
  ["has something after its end", (text) => `${text}{}`, ""],
  ["has a bad value", (text) => text.replace(/"code":"\d+"/, '"code":"12a4"'), ""],
])("a file that %s is set aside with a warning", async (_, made, why) => {
  await using folder = await stateFolder();
  const env = { STATE_FILE: folder.file };
  await using before = await testServer(env);
  const { code } = await before.mint();
  await before.stop();
  const content = made(await Bun.file(folder.file).text());
  await Bun.write(folder.file, content);

  await using server = await testServer(env);
  const [warning = "", ...rest] = warnings(server);
  expect(rest).toEqual([]);
  expect(warning).toContain(folder.file);
  expect(warning).toContain("starts without it");
  expect(warning).toContain(why);
  expect(warning).not.toContain(code);
  expect((await server.redeem(code)).status).toBe(410);
  const aside = (await readdir(folder.path)).filter((name) => name.includes(".damaged-"));
  expect(aside).toHaveLength(1);
  expect(warning).toContain(aside[0] as string);
  const kept = await Bun.file(join(folder.path, aside[0] as string)).bytes();
  expect(Buffer.from(kept)).toEqual(Buffer.from(content));
  // Once.
  await server.stop();
  await using next = await testServer(env);
  expect(warnings(next)).toEqual([]);
});

test("a file larger than what the server may hold is set aside unread", async () => {
  await using folder = await stateFolder();
  const env = { STATE_FILE: folder.file, MAX_ROOMS: "16", MAIL_TOTAL_BYTES: "4194304" };
  await using before = await testServer(env);
  await before.mint();
  await before.stop();
  await truncate(folder.file, 2 ** 31);
  await using server = await testServer(env);
  expect(warnings(server)[0]).toContain(`has ${2 ** 31} bytes`);
  expect(await server.metric("nt_codes_live")).toBe(0);
});

test("a server that cannot listen leaves the state to the next", async () => {
  await using folder = await stateFolder();
  await using before = await testServer({ STATE_FILE: folder.file });
  const { code } = await before.mint();
  await before.stop();
  await using taken = await takenPort();
  const refused = testServer({ STATE_FILE: folder.file, PORT: String(taken.port) });
  await expect(refused).rejects.toThrow(/^Port \d+ is in use/);
  await using after = await testServer({ STATE_FILE: folder.file });
  expect((await after.redeem(code)).status).toBe(200);
});

test("a state that could not be saved ends the program with 1, and the log tells the remedy", async () => {
  await using folder = await stateFolder();
  await using program = await Program.start({ STATE_FILE: folder.file });
  await mint((await program.listening()).href);
  await mkdir(folder.file);
  program.signal("SIGTERM");
  expect(await program.exit()).toBe(1);
  expect(program.log().at(-1)).toMatchObject({
    level: "error",
    msg: "the state could not be saved",
    reason: expect.stringContaining(folder.file),
    remedy: expect.stringContaining("STATE_FILE"),
  });
});

test("a state that cannot be written is told, and the server ends all the same", async () => {
  await using folder = await stateFolder();
  await using server = await testServer({ STATE_FILE: folder.file });
  await mkdir(folder.file);
  await server.stop();
  const last = JSON.parse(server.logLines.at(-1) ?? "") as Record<string, unknown>;
  expect(last).toMatchObject({ level: "error", msg: "the state could not be saved" });
  expect(await readdir(folder.path)).not.toContain("state.draft");
  await rm(folder.file, { recursive: true });
  await using next = await testServer({ STATE_FILE: folder.file });
  await next.mint();
});

test("stopping twice writes the state once: a successor has it by then", async () => {
  await using folder = await stateFolder();
  await using before = await testServer({ STATE_FILE: folder.file });
  await before.mint();
  await before.stop();
  await using _after = await testServer({ STATE_FILE: folder.file });
  await before.stop();
  expect(await Bun.file(folder.file).exists()).toBe(false);
});

test("a directory that is not there is one clear line, and exit code 1", async () => {
  await using program = await Program.start({ STATE_FILE: "/nowhere/state" });
  expect(await program.exit()).toBe(1);
  expect(program.stderr).toMatch(/^STATE_FILE: \/nowhere\/state.lock cannot be written, .+\n$/);
});

// ---- what the path may lead to ----

/** What a start with this STATE_FILE says before it fails. */
async function startError(file: string): Promise<string> {
  const started = testServer({ STATE_FILE: file });
  return started.then(
    async (server) => {
      await server.stop();
      throw new Error("It started");
    },
    (error: Error) => error.message,
  );
}

test("a symbolic link stays one: what it leads to holds the state, also when that is not there yet", async () => {
  await using folder = await stateFolder();
  await mkdir(join(folder.path, "volume"));
  const target = join(folder.path, "volume/kept");
  await symlink("volume", join(folder.path, "mounted"));
  await symlink("mounted/kept", folder.file);
  const env = { STATE_FILE: folder.file };
  await using first = await testServer(env);
  const { code } = await first.mint();
  // The two names are one file, and have one lock.
  const other = testServer({ STATE_FILE: target });
  await first.stop();
  await using second = await other;
  expect(await readlink(folder.file)).toBe("mounted/kept");
  await second.stop();
  expect((await stat(target)).size).toBeGreaterThan(0);
  await using third = await testServer(env);
  expect((await third.redeem(code)).status).toBe(200);
});

test("an empty file is a fresh start", async () => {
  await using folder = await stateFolder();
  await Bun.write(folder.file, "");
  await using server = await testServer({ STATE_FILE: folder.file });
  expect(warnings(server).filter((text) => text.includes("STATE_FILE"))).toEqual([]);
  expect(await readdir(folder.path)).not.toContain("state");
});

test.each([
  ["a circle", "state", "leads back to itself"],
  ["a directory", ".", "is a directory"],
  ["a directory that is not there", "missing/state", "Create it"],
  ["a device", "/dev/null", "is not a file|cannot be written"],
])("a symbolic link to %s is a start error", async (_, target, said) => {
  await using folder = await stateFolder();
  await symlink(target, folder.file);
  expect(await startError(folder.file)).toMatch(new RegExp(said));
});

test("a pipe is a start error, and not waited for", async () => {
  await using folder = await stateFolder();
  expect(await Bun.spawn(["mkfifo", folder.file]).exited).toBe(0);
  expect(await startError(folder.file)).toContain("is not a file");
});

test.each([
  ["symbolic", symlink],
  ["hard", link],
])(
  "a %s link in the lock's place is refused, and what it leads to is left alone",
  async (_, put) => {
    await using folder = await stateFolder();
    const others = join(folder.path, "others");
    await Bun.write(others, "");
    await chmod(others, 0o666);
    await put(others, `${folder.file}.lock`);
    expect(await startError(folder.file)).toContain("state.lock cannot be written");
    expect((await stat(others)).mode & 0o777).toBe(0o666);
  },
);

const unshare = requireProgram("unshare");
const mayMount = !unshare.missing && Bun.spawnSync([unshare.path, "-rm", "true"]).success;

test.skipIf(!mayMount)(
  "a file that is mounted by itself is a start error, with its remedy",
  async () => {
    await using folder = await stateFolder();
    await Bun.write(folder.file, "");
    const script = 'mount --bind "$0" "$0" && exec "$@"';
    const main = join(import.meta.dir, "../../src/main.ts");
    const command = [unshare.path, "-rm", "sh", "-c", script, folder.file, process.execPath, main];
    const env = { PATH: process.env["PATH"], STATE_FILE: folder.file, PORT: "0" };
    const program = Bun.spawn(command, { env, stdout: "ignore", stderr: "pipe" });
    expect(await program.stderr.text()).toContain("Mount a directory, and name a file in it.");
    expect(await program.exited).toBe(1);
  },
);

// ---- one server after the other ----

test("a successor waits for its predecessor's end, and goes on where that stopped", async () => {
  await using folder = await stateFolder();
  const env = { STATE_FILE: folder.file, PORT: String(await freePort()) };
  await using first = await Program.start(env);
  const url = await first.listening();
  const { code, appID } = await mint(url.href);
  await using inFlight = await KeptConnection.open(url);
  const head = "POST /rendezvous/code HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2";
  await inFlight.write(`${head}\r\n\r\n{`);
  await using peer = await TestClient.open(`ws://${url.host}`, appID, "A", v2);
  first.signal("SIGTERM");
  await first.logged("stopping");
  await using second = await Program.start(env);
  // A slow start may find the predecessor gone; then there is no code of the late request to redeem.
  const waits = second.logged("waiting for the server that has the state file");
  await Promise.race([waits, second.listening()]);
  await inFlight.write("}");
  const late = await inFlight.answer().catch(() => undefined);
  expect((await peer.closed).code).toBe(1001);
  expect(await first.exit()).toBe(0);

  expect(await second.listening()).toEqual(url);
  expect(await redeem(url.href, code)).toMatchObject({ appID });
  if (late?.status === 200) await redeem(url.href, JSON.parse(late.body).code);
  expect(second.stderr).toBe("");
});

test("Ctrl+C ends a server that waits for its predecessor", async () => {
  await using folder = await stateFolder();
  await using first = await Program.start({ STATE_FILE: folder.file });
  await first.listening();
  await using second = await Program.start({ STATE_FILE: folder.file });
  await second.logged("waiting for the server that has the state file");
  second.signal("SIGINT");
  expect(await second.exit()).toBe(0);
  expect(second.stderr).toBe(`Stopped while waiting for STATE_FILE ${folder.file}.\n`);
});

test("deploys under pairs of reconnecting clients lose no mail and bring none twice", async () => {
  await using folder = await stateFolder();
  const port = await freePort();
  const env = { STATE_FILE: folder.file, PORT: String(port) };
  const url = `http://127.0.0.1:${port}`;
  await using programs = new AsyncDisposableStack();
  using talkers = new DisposableStack();
  let program = programs.use(await Program.start(env));
  await program.listening();
  const talker = (side: "A" | "B", appId: string) =>
    talkers.use(new Talker({ url, appId, side, minRetryMs: 20, maxRetryMs: 200, everyMs: 2 }));
  const sides: Talker[] = [];
  for (let i = 0; i < 5; i++) {
    const { code, appID } = await mint(url);
    sides.push(talker("A", appID), talker("B", (await redeem(url, code)).appID));
  }
  for (const side of sides) side.talk();
  for (let deploy = 0; deploy < 3; deploy++) {
    for (const side of sides)
      await side.changes.until("a client to be online", () => side.isOnline);
    const before = sides.map(({ heard }) => heard.length);
    program.signal("SIGTERM");
    const successor = programs.use(await Program.start(env));
    expect(await program.exit()).toBe(0);
    program = successor;
    await program.listening();
    for (const [i, { changes, heard }] of sides.entries()) {
      await changes.until("mail after a deploy", () => heard.length > (before[i] as number) + 5);
    }
  }
  await Promise.all(sides.map((side) => side.fallSilent()));
  for (const [i, side] of sides.entries()) {
    const other = sides[i ^ 1] as Talker;
    await side.changes.until("the last mail", () => side.heard.length >= other.sent);
    expect(side.faultIn(other)).toBeUndefined();
  }
});
