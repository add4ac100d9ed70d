import type { Clock } from "../base/clock.ts";
import type { Config } from "../config.ts";
import type { MemoryEngine } from "../engine/memory/memory.ts";
import { openStateFile, type StateFile } from "../engine/memory/state-file.ts";
import type { Log } from "../telemetry/log.ts";

/** How long a predecessor may need beyond its drain to write the state. */
const predecessorMs = 5_000;

/** What the predecessor left is in the engine before anything listens. */
export async function takeState(
  { stateFile: path, drainMs }: Config,
  engine: MemoryEngine,
  clock: Clock,
  log: Log,
  unwanted: AbortSignal | undefined,
): Promise<StateFile | undefined> {
  if (path === "") return undefined;
  const waitMs = drainMs + predecessorMs;
  const file = await openStateFile({
    path,
    clock,
    waitMs,
    unwanted,
    onWait: () => log.info("waiting for the server that has the state file", { path }),
    warn: (text) => log.warn(text),
  });
  const snapshot = await file.load();
  if (snapshot === undefined) return file;
  engine.restore(snapshot);
  log.info("state restored", { codes: snapshot.codes.length, rooms: snapshot.rooms.length });
  return file;
}

/** What was taken over is there for the next start, if this one comes to nothing. */
export async function listenOrPutBack<T>(
  start: () => T,
  engine: MemoryEngine | undefined,
  stateFile: StateFile | undefined,
): Promise<T> {
  try {
    return start();
  } catch (error) {
    if (engine) await stateFile?.save(engine.snapshot());
    stateFile?.release();
    throw error;
  }
}

/** Leaves the state to a successor. Where it can't be written, that is told, and the end goes on. */
export async function leaveState(file: StateFile, engine: MemoryEngine, log: Log): Promise<void> {
  try {
    await file.save(engine.snapshot());
  } catch (error) {
    log.error("the state could not be saved", {
      reason: error instanceof Error ? error.message : String(error),
    });
  } finally {
    file.release();
  }
}
