import { messageOf } from "../base/errors.ts";
import type { Config } from "../config/config.ts";
import type { MemoryEngine } from "../engine/memory/memory.ts";
import type { StateFile } from "../engine/memory/state-file.ts";
import type { Log } from "../telemetry/log.ts";
import type { Base } from "./parts.ts";

/** How long a predecessor may take to write the state, after its drain. */
const predecessorMs = 5_000;

/** For codes, at less than 512 bytes each. */
const codesBytes = 2 ** 30;

/** JSON takes at most six bytes for one byte of mail; a room without mail takes less than 4 KiB. */
function mostStateBytes({ mailTotalBytes, maxRooms }: Config): number {
  return codesBytes + 4_096 * maxRooms + 6 * mailTotalBytes;
}

export interface Restored {
  readonly engine: MemoryEngine;
  /** Undefined if the state is not saved. */
  readonly stateFile: StateFile | undefined;
}

/** A new engine with the state that the predecessor saved, before anything listens. */
export async function restoreState(
  { config, clock, log }: Base,
  newEngine: () => MemoryEngine,
  unwanted: AbortSignal | undefined,
): Promise<Restored> {
  const { stateFile: path, drainMs } = config;
  const engine = newEngine();
  if (path === "") return { engine, stateFile: undefined };
  const { openStateFile } = await import("../engine/memory/state-file.ts");
  const waitMs = drainMs + predecessorMs;
  const stateFile = await openStateFile({
    path,
    clock,
    waitMs,
    maxBytes: mostStateBytes(config),
    unwanted,
    onWait: () => log.info("waiting for the server that has the state file", { path }),
    warn: (text) => log.warn(text),
  });
  const loaded = await stateFile.load(engine.restore).catch((error) => {
    stateFile.release();
    throw error;
  });
  if (loaded === "damaged") return { engine: newEngine(), stateFile };
  if (loaded === "restored") {
    const { codesLive, codesResting, rooms, mails } = engine.sizes();
    log.info("state restored", { codes: codesLive + codesResting, rooms, mails });
  }
  return { engine, stateFile };
}

/** Saves the restored state again if this start fails, for the next start. */
export async function listenOrPutBack<T>(
  start: () => T,
  restored: Restored | undefined,
): Promise<T> {
  try {
    return start();
  } catch (error) {
    await restored?.stateFile?.save(restored.engine.snapshot());
    restored?.stateFile?.release();
    throw error;
  }
}

/** Saves the state for the successor. False if it can't be written, which is logged. */
export async function saveState(file: StateFile, engine: MemoryEngine, log: Log): Promise<boolean> {
  try {
    await file.save(engine.snapshot());
    return true;
  } catch (error) {
    log.error("the state could not be saved", {
      reason: messageOf(error),
      lost: "the codes, rooms and mail of this server",
      remedy: "Make space for STATE_FILE and let the server write to its directory.",
    });
    return false;
  } finally {
    file.release();
  }
}
