import { stat } from "node:fs/promises";
import type { Cancel, Clock } from "../base/clock.ts";
import { loadTls, type Tls, type TlsFiles } from "../base/tls.ts";
import type { Log } from "../telemetry/log.ts";

/** How often the files are looked at. Watching would miss links that are set anew. */
const lookEveryMs = 10_000;

export interface TlsRotation {
  /** Reads the files now. A broken pair leaves the old certificate in use, and is logged. */
  reload(): Promise<void>;
  /** Nothing is put to use any more, also of what is being read. */
  readonly stop: Cancel;
}

/**
 * Puts a certificate other than the one in use to use when the files have changed. Has looked at
 * them once when it resolves.
 */
export async function watchTls(
  files: TlsFiles,
  inUse: Tls,
  use: (tls: Tls) => void,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Promise<TlsRotation> {
  let seen = "";
  let loaded = inUse;
  let stopped = false;
  let reading = Promise.resolve();

  /** One after the other: what was read earlier never replaces what was read later. */
  function reload(): Promise<void> {
    reading = reading.then(read);
    return reading;
  }

  async function read(): Promise<void> {
    try {
      const tls = await loadTls(files);
      if (stopped || tls === undefined || isSame(tls, loaded)) return;
      use(tls);
      loaded = tls;
      log.info("certificate renewed");
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      log.error("the new certificate cannot be used; the old one stays", { reason });
    }
  }

  async function look(): Promise<void> {
    const now = `${await stamp(files.tlsCertFile)} ${await stamp(files.tlsKeyFile)}`;
    if (now === seen) return;
    seen = now;
    await reload();
  }

  await look();
  const stopLooking = clock.every(lookEveryMs, () => void look());
  return {
    reload,
    stop() {
      stopped = true;
      stopLooking();
    },
  };
}

function isSame(one: Tls, other: Tls): boolean {
  return one.cert === other.cert && one.key === other.key;
}

/** Changes when the file does; also when it goes and comes back. */
async function stamp(path: string): Promise<string> {
  try {
    const { mtimeMs, size, ino } = await stat(path);
    return `${mtimeMs}-${size}-${ino}`;
  } catch {
    return "missing";
  }
}
