import { expect, test } from "bun:test";
import { statSync } from "node:fs";
import { chmod, mkdtemp, readdir, rm, stat, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StartError } from "../../src/base/errors.ts";
import { type Code, newAppId } from "../../src/base/ids.ts";
import type { StateRecord } from "../../src/engine/memory/snapshot.ts";
import { openStateFile, type StateFile } from "../../src/engine/memory/state-file.ts";
import { type FakeClock, fakeClock } from "../support/clock.ts";

interface Folder extends AsyncDisposable {
  readonly path: string;
}

async function newFolder(): Promise<Folder> {
  const path = await mkdtemp(join(tmpdir(), "nt-signal-state-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

function opener(path: string, clock: FakeClock = fakeClock()) {
  const told = { warnings: [] as string[] };
  const open = (waitMs = 1_000) =>
    openStateFile({
      path,
      clock,
      waitMs,
      maxBytes: 16_000_000,
      onWait() {},
      warn: (text) => void told.warnings.push(text),
    });
  return { open, told, clock };
}

/** Lets the waiter try once more, and hear of it. */
async function pass(clock: FakeClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 50) {
    clock.advance(50);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const record: StateRecord = {
  code: {
    code: "1234" as Code,
    appId: newAppId(),
    accounts: [{ key: "c", kind: "client" }],
    withdrawAt: 9,
    restMs: 60_000,
    expiresAt: 1,
    isUsed: true,
    isLive: false,
    freeAt: 2,
    dueAt: 2,
  },
};

/** What a load answers and hands over. */
async function loaded(file: StateFile) {
  const records: StateRecord[] = [];
  return { outcome: await file.load((record) => records.push(record)), records };
}

test("an opener gives up when the wait is over, and says what to do", async () => {
  await using folder = await newFolder();
  const path = join(folder.path, "state");
  const { open, clock } = opener(path);
  const first = await open();
  const refused = open(1_000).catch((error: unknown) => error);
  await pass(clock, 1_000);
  const error = await refused;
  expect(error).toBeInstanceOf(StartError);
  expect((error as Error).message).toContain(`STATE_FILE ${path} is in use`);
  expect((error as Error).message).toContain("Stop it, or give this one a file of its own.");
  first.release();
  // A failed attempt leaves nothing locked.
  (await open()).release();
});

test("what was saved is loaded once; only its owner may read it, whatever lay there before", async () => {
  await using folder = await newFolder();
  const path = join(folder.path, "state");
  await Bun.write(`${path}.draft`, "half of an earlier one");
  await chmod(`${path}.draft`, 0o644);
  const file = await opener(path).open();
  await file.save([record]);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readdir(folder.path)).not.toContain("state.draft");
  expect(await loaded(file)).toEqual({ outcome: "restored", records: [record] });
  expect(await loaded(file)).toEqual({ outcome: "none", records: [] });
  expect(await Bun.file(path).exists()).toBe(false);
  file.release();
});

test("a file larger than what the server may hold is kept aside unread", async () => {
  await using folder = await newFolder();
  const path = join(folder.path, "state");
  const { open, told } = opener(path);
  const file = await open();
  await file.save([record]);
  await truncate(path, 16_000_001);
  expect(await loaded(file)).toEqual({ outcome: "damaged", records: [] });
  expect(told.warnings[0]).toContain("has 16000001 bytes");
  file.release();
});

test("records longer than what is read at once come back as they were, in order", async () => {
  await using folder = await newFolder();
  const place = { started: false, lastToken: 0, sid: "", accounts: [] };
  const facts = { paired: true, established: true, minted: false, redeemed: false };
  const room = (payload: string, n: number): StateRecord => ({
    room: {
      ...{ appId: newAppId(), startedAt: n, emptyAt: n, tokens: n, owner: [] },
      ...{ ...facts, A: place, B: place },
    },
    A: { mails: [], ids: [] },
    B: { mails: [{ from: "A", payload, accounts: [] }], ids: [["\u2028\n\ud800", n]] },
  });
  const payloads = [
    "é".repeat(700_000),
    "",
    "\u{1f511}\n\r\u2028".repeat(300_000),
    "x".repeat(1_048_576),
  ];
  const records = [record, ...payloads.map(room)];
  const file = await opener(join(folder.path, "state")).open();
  await file.save(records);
  expect((await loaded(file)).records).toEqual(records);
  file.release();
});

test.each([
  ["no end", (text: string) => text.slice(0, text.lastIndexOf('{"records"'))],
  ["a record less than were written", (text: string) => text.replace(/\n\{"code".*\n/, "\n")],
  ["one character changed", (text: string) => text.replace('"key":"c"', '"key":"d"')],
  ["something after its end", (text: string) => `${text}{}`],
  ["no header", (text: string) => text.slice(text.indexOf("\n") + 1)],
])("a file with %s is damaged, and kept aside as it is", async (_, damage) => {
  await using folder = await newFolder();
  const path = join(folder.path, "state");
  const { open, told } = opener(path);
  const file = await open();
  await file.save([record]);
  const text = damage(await Bun.file(path).text());
  await Bun.write(path, text);
  expect((await loaded(file)).outcome).toBe("damaged");
  expect(told.warnings).toHaveLength(1);
  const [aside = ""] = (await readdir(folder.path)).filter((name) => name.includes("damaged"));
  expect(await Bun.file(join(folder.path, aside)).text()).toBe(text);
  file.release();
});

test("nobody else may lock the state, not even where the lock was once open to all", async () => {
  await using folder = await newFolder();
  const path = join(folder.path, "state");
  await Bun.write(`${path}.lock`, "");
  await chmod(`${path}.lock`, 0o666);
  (await opener(path).open()).release();
  expect((await stat(`${path}.lock`)).mode & 0o777).toBe(0o600);
  await rm(`${path}.lock`);
  (await opener(path).open()).release();
  expect((await stat(`${path}.lock`)).mode & 0o777).toBe(0o600);
});

test("records are made as they are written, so that a large state is never there twice", async () => {
  await using folder = await newFolder();
  const path = join(folder.path, "state");
  const file = await opener(path).open();
  const written: number[] = [];
  function* records(): Iterable<StateRecord> {
    for (let n = 0; n < 20_000; n++) {
      if (n % 5_000 === 0) written.push(statSync(`${path}.draft`).size);
      yield record;
    }
  }
  await file.save(records());
  expect(written.map((size) => size > 0)).toEqual([false, false, true, true]);
  file.release();
});
