import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Changes, until, within } from "./waiting.ts";

const { NT_SIGNAL_BINARY: server = join(import.meta.dir, "../../src/main.ts") } = process.env;
/** The program's sources, or what NT_SIGNAL_BINARY names: a binary, or a main.ts. */
export const command = server.endsWith(".ts") ? [process.execPath, server] : [server];

/** One line of the program's log. */
export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** The real program in a process of its own, started in an empty directory. */
export class Program implements AsyncDisposable {
  readonly exited: Promise<number>;
  /** Everything it wrote so far. */
  stdout = "";
  stderr = "";
  private readonly changes = new Changes();
  private readonly outputEnded: Promise<unknown>;

  private constructor(
    private readonly child: Bun.Subprocess<"ignore", "pipe", "pipe">,
    private readonly folder: string,
  ) {
    const out = this.collect(child.stdout, (text) => {
      this.stdout += text;
    });
    const err = this.collect(child.stderr, (text) => {
      this.stderr += text;
    });
    this.outputEnded = Promise.all([out, err]);
    this.exited = Promise.all([child.exited, this.outputEnded]).then(([code]) => code);
  }

  /** It gets no environment but `env`, and a free port of 127.0.0.1 unless that says otherwise. */
  static async start(env: Record<string, string> = {}, ...args: string[]): Promise<Program> {
    const folder = await mkdtemp(join(tmpdir(), "nt-signal-program-"));
    const child = Bun.spawn([...command, ...args], {
      cwd: folder,
      env: { HOST: "127.0.0.1", PORT: "0", ...env },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    return new Program(child, folder);
  }

  get pid(): number {
    return this.child.pid;
  }

  /** Its exit code; everything it wrote is here by then. */
  exit(): Promise<number> {
    return within("the program to exit", this.exited);
  }

  /** Its address, once it listens. */
  async listening(): Promise<URL> {
    const { url } = await this.logged("listening");
    return new URL(String(url));
  }

  /** Resolves when it answers on this port, for a program that doesn't say when it listens. */
  async answersOn(port: number): Promise<void> {
    await until(`an answer on port ${port}`, async () => {
      this.mustRun();
      return (await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => undefined))?.ok;
    });
  }

  /** The first log line with this message. */
  logged(msg: string): Promise<LogLine> {
    return this.changes.until(`the log line "${msg}"`, () => {
      const line = this.log().find((entry) => entry.msg === msg);
      if (line === undefined) this.mustRun();
      return line;
    });
  }

  /** The complete log lines so far. */
  log(): readonly LogLine[] {
    const lines = this.stdout.split("\n").slice(0, -1);
    return lines.map((line) => JSON.parse(line) as LogLine);
  }

  signal(signal: "SIGTERM" | "SIGINT" | "SIGHUP" | "SIGKILL"): void {
    this.child.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.signal("SIGKILL");
    await this.exited;
    await rm(this.folder, { recursive: true, force: true });
  }

  private mustRun(): void {
    const { exitCode, signalCode } = this.child;
    if (exitCode !== null || signalCode !== null) throw new Error(`It exited: ${this.stderr}`);
  }

  private async collect(
    stream: ReadableStream<Uint8Array>,
    add: (text: string) => void,
  ): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      add(decoder.decode(chunk, { stream: true }));
      this.changes.changed();
    }
    await this.child.exited;
    this.changes.changed();
  }
}

/** A port of 127.0.0.1 on which something already listens. */
export async function takenPort(wanted = 0): Promise<{ readonly port: number } & AsyncDisposable> {
  const listener = createServer();
  await new Promise<void>((resolve, reject) => {
    listener.on("error", reject);
    listener.listen(wanted, "127.0.0.1", resolve);
  });
  const address = listener.address();
  if (address === null || typeof address === "string") throw new Error("It has no port");
  return {
    port: address.port,
    [Symbol.asyncDispose]: () => new Promise((resolve) => listener.close(() => resolve())),
  };
}

/**
 * A port of 127.0.0.1 on which nothing listened a moment ago. It is none that systems give to
 * connections or to who asks for port 0, so that none of the many of other tests takes it meanwhile.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    try {
      await using taken = await takenPort(10_000 + Math.floor(Math.random() * 20_000));
      return taken.port;
    } catch (error) {
      if ((error as { code?: unknown }).code !== "EADDRINUSE") throw error;
    }
  }
}

/**
 * Where the first of these programs that is installed lies, for a test that needs one. Where all are
 * missing the test is skipped and says so; where CI is true that is an error, so that no test is
 * silently left out there.
 */
export function requireProgram(...names: readonly [string, ...string[]]): {
  readonly path: string;
  readonly missing: boolean;
} {
  const [name] = names;
  // Debian keeps some where only root's PATH leads.
  const PATH = `${process.env["PATH"]}:/usr/sbin:/sbin`;
  const path = names.map((each) => Bun.which(each, { PATH })).find((found) => found !== null);
  if (path !== undefined) return { path, missing: false };
  if (process.env["CI"] === "true")
    throw new Error(`${name} is not installed: .ci/run installs it`);
  process.stderr.write(`Tests are skipped: they need ${name}, which is not installed.\n`);
  return { path: name, missing: true };
}
