import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../support/program.ts";
import { within } from "../support/waiting.ts";
import { endsWithUs } from "./children.ts";

/** High enough to be reached by nobody, and not off: their cost is measured. */
const high = "10000000";
const limits = {
  HTTP_RATE_PER_MIN: high,
  WS_RATE_PER_MIN: high,
  // One client has them all: a share of what all have would be reached.
  SOCKETS_PER_CLIENT: "0",
  CODES_PER_CLIENT: high,
  REDEEM_FAILURES: high,
  FRAMES_PER_SEC: high,
  MAX_CODES: high,
  MAX_ROOMS: high,
  MAX_SOCKETS: high,
};

export interface SubjectOptions {
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** The core it runs on, where there are two and `taskset` is. */
  readonly core?: number;
}

/** A server in a process of its own. */
export interface Subject extends AsyncDisposable {
  readonly port: number;
  readonly pid: number;
  readonly http: string;
  /** From its start to its first answer. */
  readonly startMs: number;
  readonly exited: Promise<number>;
}

const canPin = cpus().length > 1 && Bun.which("taskset") !== null;

/** The command, kept to one core where that is possible. */
export function pinned(core: number, command: readonly string[]): string[] {
  return canPin ? ["taskset", "-c", String(core), ...command] : [...command];
}

export const isPinned = canPin;

/** Runs in an empty directory, with no other settings than these. */
export async function startSubject(options: SubjectOptions): Promise<Subject> {
  const { command, env = {}, core } = options;
  const folder = await mkdtemp(join(tmpdir(), "nt-signal-bench-"));
  const port = await freePort();
  const startedAt = performance.now();
  const child = endsWithUs(
    Bun.spawn(core === undefined ? [...command] : pinned(core, command), {
      cwd: folder,
      env: { HOST: "127.0.0.1", PORT: String(port), DEV: "true", ...limits, ...env },
      stdin: "ignore",
      stdout: "ignore",
      stderr: "inherit",
    }),
  );
  const http = `http://127.0.0.1:${port}`;
  async function end(): Promise<void> {
    child.kill("SIGKILL");
    await child.exited;
    await rm(folder, { recursive: true, force: true });
  }
  const answered = async () => {
    while (child.exitCode === null && !(await answers(port))) await Bun.sleep(0.5);
    if (child.exitCode !== null) throw new Error(`${command.join(" ")} exited first`);
  };
  try {
    await within(`${command.join(" ")} to answer`, answered(), 15_000);
  } catch (error) {
    await end();
    throw error;
  }
  const startMs = performance.now() - startedAt;
  return {
    port,
    pid: child.pid,
    http,
    startMs,
    exited: child.exited,
    [Symbol.asyncDispose]: end,
  };
}

/** Asks once, without the cost of a whole HTTP client. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        open: (socket) => {
          socket.write("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        },
        data: (socket, bytes) => {
          resolve(bytes.toString("latin1", 0, 12) === "HTTP/1.1 200");
          socket.terminate();
        },
        close: () => resolve(false),
        error: () => resolve(false),
      },
    }).catch(() => resolve(false));
  });
}
