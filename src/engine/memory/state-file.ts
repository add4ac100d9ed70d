import { Database, constants as sqlite } from "bun:sqlite";
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  openSync,
  readlinkSync,
  realpathSync,
} from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { codeOf, StartError } from "../../base/errors.ts";
import type { StateRecord } from "./snapshot.ts";

interface StateFileOptions {
  readonly path: string;
  readonly clock: Clock;
  /** How long to wait for a predecessor to end, ms. */
  readonly waitMs: number;
  /** A file larger than this is not read: this server could not hold what is in it. */
  readonly maxBytes: number;
  /** Ends the wait at once. */
  readonly unwanted?: AbortSignal | undefined;
  /** Called once, when there is a predecessor to wait for. */
  readonly onWait: () => void;
  readonly warn: (text: string) => void;
}

export interface StateFile {
  /**
   * Hands over what the predecessor left, record by record, once: the file is then removed, so that
   * nothing redeemed since comes back to life after a crash. `damaged` when it, or its end, cannot be
   * read: it is set aside with a warning, and what was handed over is not to be used.
   */
  load(restore: (record: StateRecord) => void): Promise<"none" | "restored" | "damaged">;
  /** Writes the file as a whole or not at all, readable by its owner only. */
  save(records: Iterable<StateRecord>): Promise<void>;
  /** Lets a successor have the file. The system does so too when the process dies. */
  release(): void;
}

const retryMs = 50;
/** A record longer than this is not read: nothing writes it, and it would be in memory as a whole. */
const maxRecordBytes = 536_870_912;
/** Read and written at once. A record takes as much again: a room with all of its mail at most. */
const blockBytes = 1_048_576;

// The file: a header, a record a line, and at its end a hash of them, so that what is read is what was saved.
const format = 3;
const headerPattern = /^\{"format":"nt-signal state ([0-9]{1,9})"\}$/;

/**
 * Takes the lock beside the file, so that of two servers only one has the state. Waits for a
 * predecessor that is still writing. What a symbolic link leads to is the file: the link stays. A
 * `StartError` when the predecessor does not end, or when the file cannot be replaced as a whole.
 */
export async function openStateFile(options: StateFileOptions): Promise<StateFile> {
  const { clock, warn } = options;
  const path = withoutLinks(options.path);
  const lock = await lockBeside({ ...options, path });

  async function setAside(why: string): Promise<"damaged"> {
    const aside = `${path}.damaged-${clock.now()}`;
    await rename(path, aside).catch(notReplaceable(path));
    warn(`STATE_FILE ${path} ${why}. It was moved to ${aside}; the server starts without it.`);
    return "damaged";
  }

  return {
    async load(restore) {
      const file = await openIfThere(path);
      if (file === undefined) return "none";
      const { size } = await file.stat();
      const isEmpty = size === 0;
      const read = async () =>
        size > options.maxBytes
          ? `has ${size} bytes, and what this server may hold takes ${options.maxBytes} at most`
          : readState(file, restore);
      const fault = await read().finally(() => file.close());
      if (fault !== undefined && !isEmpty) return setAside(fault);
      await rm(path).catch(notReplaceable(path));
      await syncDirectory(path);
      return isEmpty ? "none" : "restored";
    },
    async save(records) {
      const draft = `${path}.draft`;
      // One that a crash left may be open to others.
      await rm(draft, { force: true });
      try {
        await writeWhole(draft, stateLines(records));
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

/** As the system allows. */
const maxLinks = 40;

/** Where the path leads, without symbolic links in it. The file itself need not be there. */
function withoutLinks(path: string): string {
  let at = resolve(path);
  for (let links = 0; links <= maxLinks; links++) {
    try {
      at = join(realpathSync(dirname(at)), basename(at));
    } catch {
      if (links === 0) return at;
      throw new StartError(
        `STATE_FILE ${path} is a symbolic link to ${at}, and that directory is not there or closed. ` +
          "Create it, or name a file.",
      );
    }
    try {
      at = resolve(dirname(at), readlinkSync(at));
    } catch {
      // A file, or nothing.
      return at;
    }
  }
  throw new StartError(
    `STATE_FILE ${path} is a symbolic link that goes round in a circle. Name a file.`,
  );
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
  const giveUpAt = clock.monotonicMs() + waitMs;
  const database = openDatabase(lockPath);
  for (let tries = 1; ; tries++) {
    try {
      database.run("BEGIN EXCLUSIVE");
      return database;
    } catch (error) {
      if (codeOf(error) !== "SQLITE_BUSY") throw cannotLock(lockPath);
      if (unwanted?.aborted) throw new StartError(`Stopped while waiting for STATE_FILE ${path}.`);
      if (clock.monotonicMs() >= giveUpAt) {
        throw new StartError(
          `STATE_FILE ${path} is in use by another nt-signal that does not end (it holds ${lockPath}). ` +
            "Stop it, or give this one a file of its own.",
        );
      }
      if (tries === 1) onWait();
    }
    await new Promise<void>((resolve) => clock.after(retryMs, resolve));
  }
}

/**
 * Only its owner may read it: a process that can read it can lock it. Corrects the mode of an old one,
 * but of no file that another name or a link leads to.
 */
function openDatabase(lockPath: string): Database {
  const { O_RDWR, O_CREAT, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants;
  try {
    const descriptor = openSync(lockPath, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
    try {
      const { nlink } = fstatSync(descriptor);
      if (nlink > 1) throw cannotLock(lockPath);
      fchmodSync(descriptor, 0o600);
    } finally {
      closeSync(descriptor);
    }
    return new Database(lockPath, sqlite.SQLITE_OPEN_READWRITE | sqlite.SQLITE_OPEN_NOFOLLOW);
  } catch {
    throw cannotLock(lockPath);
  }
}

function cannotLock(lockPath: string): StartError {
  return new StartError(
    `STATE_FILE: ${lockPath} cannot be written, is another user's, or a link. ` +
      "Name a file in a directory of the server's own.",
  );
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    // Without O_NONBLOCK a pipe would be waited for.
    const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    const stats = await file.stat();
    if (stats.isFile()) return file;
    await file.close();
    throw new StartError(
      stats.isDirectory()
        ? `STATE_FILE ${path} is a directory. Name a file in it.`
        : `STATE_FILE ${path} is not a file. Name one that the server can replace.`,
    );
  } catch (error) {
    if (error instanceof StartError) throw error;
    if (codeOf(error) === "ENOENT") return undefined;
    throw new StartError(`STATE_FILE ${path} cannot be read. Check its owner and mode.`);
  }
}

/** For a file that stays although its directory can be written. */
function notReplaceable(path: string): (error: unknown) => never {
  return (error) => {
    throw new StartError(
      codeOf(error) === "EBUSY"
        ? `STATE_FILE ${path} is mounted by itself, and the server replaces the file as a whole. ` +
            "Mount a directory, and name a file in it."
        : `STATE_FILE ${path} cannot be removed (${codeOf(error)}). ` +
            "Name a file in a directory of the server's own.",
    );
  };
}

const damaged = "is damaged or not a state of nt-signal";

/** What is wrong with the file; after a fault, what was handed over is not to be used. */
async function readState(
  file: FileHandle,
  restore: (record: StateRecord) => void,
): Promise<string | undefined> {
  let hash: bigint | undefined;
  let hasEnded = false;
  for await (const line of linesOf(file)) {
    if (hasEnded) return damaged;
    if (hash === undefined) {
      const fault = headerFault(line.toString());
      if (fault !== undefined) return fault;
      hash = 0n;
      continue;
    }
    try {
      const record = JSON.parse(line.toString()) as StateRecord | { readonly records: string };
      hasEnded = "records" in record;
      if (!("records" in record)) restore(record);
      else if (record.records !== String(hash)) return damaged;
    } catch {
      return damaged;
    }
    hash = Bun.hash.xxHash64(line, hash);
  }
  return hasEnded ? undefined : damaged;
}

function headerFault(line: string): string | undefined {
  const written = headerPattern.exec(line)?.[1];
  if (written === undefined) return damaged;
  if (Number(written) === format) return undefined;
  const age = Number(written) < format ? "an older" : "a newer";
  return `was written by ${age} nt-signal, in a form that this one does not read (${written}, not ${format})`;
}

function* stateLines(records: Iterable<StateRecord>): Iterable<string> {
  let hash = 0n;
  yield JSON.stringify({ format: `nt-signal state ${format}` });
  for (const record of records) {
    const line = JSON.stringify(record);
    hash = Bun.hash.xxHash64(line, hash);
    yield line;
  }
  yield JSON.stringify({ records: String(hash) });
}

/**
 * The lines of the file from where it stands, the last one with or without its line break. They end before
 * one that is longer than a record.
 */
async function* linesOf(file: FileHandle): AsyncIterable<Buffer> {
  const passed = garbageCollection();
  const block = Buffer.allocUnsafe(blockBytes);
  let begun: Buffer[] = [];
  for (;;) {
    const { bytesRead } = await file.read(block, 0, blockBytes, null);
    if (bytesRead === 0) break;
    let start = 0;
    for (;;) {
      const end = block.subarray(0, bytesRead).indexOf("\n", start);
      if (end === -1) break;
      yield Buffer.concat([...begun, block.subarray(start, end)]);
      begun = [];
      start = end + 1;
    }
    passed(bytesRead);
    if (start === bytesRead) continue;
    begun.push(Buffer.from(block.subarray(start, bytesRead)));
    if (begun.length * blockBytes > maxRecordBytes) return;
  }
  if (begun.length > 0) yield Buffer.concat(begun);
}

/**
 * What a state leaves behind as it passes is a multiple of it. The runtime would collect it when it is
 * as much as all that is held; each 32 MiB it costs 0.1 s, and half a second for the largest state.
 */
function garbageCollection(): (bytes: number) => void {
  let uncollected = 0;
  return (bytes) => {
    uncollected += bytes;
    if (uncollected < 32 * blockBytes) return;
    uncollected = 0;
    Bun.gc(true);
  };
}

/** A new file of its owner's with these lines; it is on disk when this resolves. */
async function writeWhole(path: string, lines: Iterable<string>): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    const passed = garbageCollection();
    let block: Buffer[] = [];
    let bytes = 0;
    for (const line of lines) {
      const text = Buffer.from(`${line}\n`);
      block.push(text);
      bytes += text.length;
      if (bytes < blockBytes) continue;
      await file.appendFile(Buffer.concat(block));
      passed(bytes);
      block = [];
      bytes = 0;
    }
    await file.appendFile(Buffer.concat(block));
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
