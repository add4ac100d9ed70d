import { expect, test } from "bun:test";
import { chmod, mkdir, mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import "../support/patience.ts";
import { StartError } from "../../src/base/start-error.ts";
import { openStateFile } from "../../src/engine/memory/state-file.ts";
import { type FakeClock, fakeClock } from "../support/clock.ts";

interface Folder extends AsyncDisposable {
  readonly path: string;
}

async function newFolder(): Promise<Folder> {
  const path = await mkdtemp(join(tmpdir(), "nt-signal-state-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

function opener(path: string, clock: FakeClock = fakeClock()) {
  const told = { waits: 0, warnings: [] as string[] };
  const open = (waitMs = 1_000) =>
    openStateFile({
      path,
      clock,
      waitMs,
      onWait: () => void told.waits++,
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

const nothing = { codes: [], misses: [], rooms: [] };

test("a second opener waits for the first, and has the file as soon as that lets go", async () => {
  await using folder = await newFolder();
  const { open, told, clock } = opener(join(folder.path, "state"));
  const first = await open();
  let opened = false;
  const second = open().then((file) => {
    opened = true;
    return file;
  });
  await pass(clock, 900);
  expect([opened, told.waits]).toEqual([false, 1]);
  first.release();
  await pass(clock, 50);
  const file = await second;
  expect(told.waits).toBe(1);
  file.release();
});

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
  await file.save(nothing);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readdir(folder.path)).not.toContain("state.draft");
  expect(await file.load()).toEqual(nothing);
  expect(await file.load()).toBeUndefined();
  expect(await Bun.file(path).exists()).toBe(false);
  file.release();
});

test("a directory that cannot be written and a file that cannot be read are start errors", async () => {
  await using folder = await newFolder();
  const missing = opener(join(folder.path, "missing", "state")).open();
  await expect(missing).rejects.toThrow(StartError);
  const path = join(folder.path, "folder");
  await mkdir(path);
  const file = await opener(path).open();
  await expect(file.load()).rejects.toThrow(
    `STATE_FILE ${path} is a directory. Name a file in it.`,
  );
  file.release();
});
