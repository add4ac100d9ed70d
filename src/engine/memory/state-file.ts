import { Database } from "bun:sqlite";
import { open, readFile, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { z } from "zod";
import type { Clock } from "../../base/clock.ts";
import { StartError } from "../../base/start-error.ts";
import { type Snapshot, snapshotSchema } from "./snapshot.ts";

export interface StateFileOptions {
  readonly path: string;
  readonly clock: Clock;
  /** How long to wait for a predecessor to end, ms. */
  readonly waitMs: number;
  /** Ends the wait at once. */
  readonly unwanted?: AbortSignal | undefined;
  /** Told once, when there is a predecessor to wait for. */
  readonly onWait: () => void;
  readonly warn: (text: string) => void;
}

export interface StateFile {
  /**
   * What the predecessor left, once: the file is removed, so that nothing redeemed since comes back
   * to life after a crash. Undefined when there is nothing, or nothing that can be read: that file
   * is set aside, with a warning.
   */
  load(): Promise<Snapshot | undefined>;
  /** Writes the file as a whole or not at all, readable by its owner only. */
  save(snapshot: Snapshot): Promise<void>;
  /** Lets a successor have the file. The system does so too when the process dies. */
  release(): void;
}

const retryMs = 50;
const fileSchema = z.object({ format: z.literal("nt-signal state 1"), state: snapshotSchema });

/**
 * Takes the lock beside the file, so that of two servers only one has the state. Waits for a
 * predecessor that is still writing. A `StartError` when it does not end, or when the directory
 * cannot be written.
 */
export async function openStateFile(options: StateFileOptions): Promise<StateFile> {
  const { path, clock, warn } = options;
  const lock = await lockBeside(options);

  async function setAside(why: string): Promise<undefined> {
    const aside = `${path}.damaged-${clock.now()}`;
    await rename(path, aside);
    warn(`STATE_FILE ${path} ${why}. It was moved to ${aside}; the server starts without it.`);
    return undefined;
  }

  return {
    async load() {
      const text = await readIfThere(path);
      if (text === undefined) return undefined;
      const parsed = fileSchema.safeParse(parseJson(text));
      if (!parsed.success) return setAside("is damaged or not a state of nt-signal");
      await rm(path);
      await syncDirectory(path);
      return parsed.data.state;
    },
    async save(state) {
      const draft = `${path}.draft`;
      // One that a crash left may be open to others.
      await rm(draft, { force: true });
      try {
        await writeWhole(draft, JSON.stringify({ format: "nt-signal state 1", state }));
        await rename(draft, path);
      } catch (error) {
        await rm(draft, { force: true });
        throw error;
      }
      await syncDirectory(path);
    },
    release: () => lock.close(),
  };
}

/** An open transaction on a SQLite file: a lock that the system frees when its holder dies. */
async function lockBeside({
  path,
  clock,
  waitMs,
  unwanted,
  onWait,
}: StateFileOptions): Promise<Database> {
  const lockPath = `${path}.lock`;
  const giveUpAt = clock.ticks() + waitMs;
  const database = openDatabase(lockPath);
  for (let tries = 1; ; tries++) {
    try {
      database.run("BEGIN EXCLUSIVE");
      return database;
    } catch (error) {
      if (!isBusy(error)) throw cannotLock(lockPath);
      if (unwanted?.aborted) throw new StartError(`Stopped while waiting for STATE_FILE ${path}.`);
      if (clock.ticks() >= giveUpAt) throw stillHeld(path);
      if (tries === 1) onWait();
    }
    await new Promise<void>((resolve) => clock.after(retryMs, resolve));
  }
}

function openDatabase(lockPath: string): Database {
  try {
    return new Database(lockPath);
  } catch {
    throw cannotLock(lockPath);
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "SQLITE_BUSY";
}

function cannotLock(lockPath: string): StartError {
  return new StartError(
    `STATE_FILE: ${lockPath} cannot be written. Name a file in a directory the server may write to.`,
  );
}

function stillHeld(path: string): StartError {
  return new StartError(
    `STATE_FILE ${path} is in use by another nt-signal that does not end. ` +
      "Stop it, or give this one a file of its own.",
  );
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT") return undefined;
    if (code === "EISDIR") {
      throw new StartError(`STATE_FILE ${path} is a directory. Name a file in it.`);
    }
    throw new StartError(`STATE_FILE ${path} cannot be read. Check its owner and mode.`);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A new file of its owner's; it is on disk when this resolves. */
async function writeWhole(path: string, text: string): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** A rename or removal lasts only once its directory is on disk. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(dirname(path), "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
