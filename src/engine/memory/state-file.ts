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
  /** A larger file is not read: its state would not fit into this server. */
  readonly maxBytes: number;
  /** Ends the wait at once. */
  readonly unwanted?: AbortSignal | undefined;
  /** Called once if it has to wait for a predecessor. */
  readonly onWait: () => void;
  readonly warn: (text: string) => void;
}

export interface StateFile {
  /**
   * Passes the predecessor's records to `restore`, and then removes the file: otherwise a code that is
   * redeemed later could be redeemed again after a crash. `damaged`: the file or its end is invalid. Then
   * it is set aside with a warning, and the caller must discard the restored records.
   */
  load(restore: (record: StateRecord) => void): Promise<"none" | "restored" | "damaged">;
  /** Writes the file completely or not at all. Only its owner can read it. */
  save(records: Iterable<StateRecord>): Promise<void>;
  /** Releases the file for a successor. The system also does this when the process dies. */
  release(): void;
}

const retryMs = 50;
/** A longer record is not read: the server never writes one, and it would be in memory as a whole. */
const maxRecordBytes = 536_870_912;
/** How many bytes are read or written at a time. A record needs its own size in addition. */
const blockBytes = 1_048_576;

// The file has a header, one record per line, and at its end a hash of the records.
const format = 3;
const headerPattern = /^\{"format":"nt-signal state ([0-9]{1,9})"\}$/;

/**
 * Takes a lock beside the file, so that two servers cannot have the same state. Waits for a predecessor that
 * is still writing. Follows symbolic links and keeps them. Rejects with a `StartError` when the
 * predecessor does not end, or when the file cannot be replaced.
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
      // A draft left by a crash may be readable by others.
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

/** The operating system's limit. */
const maxLinks = 40;

/** Resolves all symbolic links in the path. The file itself need not exist. */
function withoutLinks(path: string): string {
  let at = resolve(path);
  for (let links = 0; links <= maxLinks; links++) {
    try {
      at = join(realpathSync(dirname(at)), basename(at));
    } catch {
      if (links === 0) return at;
      throw new StartError(
        `STATE_FILE ${path} is a symbolic link to ${at}, whose directory does not exist or is not accessible. ` +
          "Create it, or name a file.",
      );
    }
    try {
      at = resolve(dirname(at), readlinkSync(at));
    } catch {
      // It is a file, or does not exist.
      return at;
    }
  }
  throw new StartError(
    `STATE_FILE ${path} is a symbolic link that leads back to itself. Name a file.`,
  );
}

/** Locks by an open transaction on a SQLite file. The system frees the lock when the process dies. */
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
 * Makes the lock file readable by its owner only: a process that can read it can lock it. Corrects the mode
 * of an old one, but never of a file with another name or behind a link.
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
    // Without O_NONBLOCK, opening a pipe would block.
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

/** Explains why the file cannot be removed although its directory is writable. */
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

/** Returns what is wrong with the file; undefined: nothing. After a fault, the records must be discarded. */
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
 * The lines of the file from its current position. The last one may lack its line break. Ends before a line
 * that is longer than a record may be.
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
 * Reading or writing a state produces garbage of several times its size. By itself the runtime would collect
 * it only when it doubles the memory. Collecting it after each 32 MiB costs 0.1 s, and half a second for the
 * largest state.
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

/** Writes a new file that only its owner can read. It is on disk when this resolves. */
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

/** Makes a rename or removal durable by writing its directory to disk. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(dirname(path), "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
