import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, requireProgram } from "./program.ts";
import { Changes, within } from "./waiting.ts";

const server = requireProgram("turnserver");
const client = requireProgram("turnutils_uclient");

/** Tests with a TURN server are skipped where Debian's coturn is not installed. */
export const noTurn = server.missing || client.missing;

/** Credentials as an answer of the server under test has them. */
export interface Credentials {
  readonly username: string;
  readonly credential: string;
}

/** Debian's coturn on 127.0.0.1, UDP and TCP, which believes whoever knows its secret. */
export class TurnServer implements AsyncDisposable {
  /** Everything it wrote so far. */
  private log = "";
  private readonly changes = new Changes();

  private constructor(
    readonly port: number,
    private readonly child: Bun.Subprocess<"ignore", "pipe", "pipe">,
    private readonly folder: string,
  ) {
    for (const output of [child.stdout, child.stderr]) void this.collect(output);
  }

  static async start(secret: string): Promise<TurnServer> {
    const folder = await mkdtemp(join(tmpdir(), "nt-signal-turn-"));
    const port = await freePort();
    const args = [
      ...["-n", "--use-auth-secret", `--static-auth-secret=${secret}`, "--realm=nt-signal.test"],
      ...["--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", `--listening-port=${port}`],
      ...["--allow-loopback-peers", "--no-tls", "--no-dtls", "--no-cli", "--fingerprint"],
      ...["--log-file=stdout", "--simple-log", "--verbose", "--relay-threads=1"],
      ...["--min-port=49152", "--max-port=65535"],
      ...[`--pidfile=${join(folder, "pid")}`, `--userdb=${join(folder, "users")}`],
    ];
    const child = Bun.spawn([server.path, ...args], {
      cwd: folder,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const turn = new TurnServer(port, child, folder);
    await turn.logged(/listener opened on : 127\.0\.0\.1/);
    return turn;
  }

  url(transport: "udp" | "tcp" = "udp"): string {
    return `turn:127.0.0.1:${this.port}?transport=${transport}`;
  }

  /** From now on it says nothing, as a network that is lost; or goes on. */
  silence(isSilent: boolean): void {
    this.child.kill(isSilent ? "SIGSTOP" : "SIGCONT");
  }

  /** Resolves when its log has such a line. */
  async logged(pattern: RegExp): Promise<void> {
    await this.changes.until(`coturn to log ${pattern}`, () => {
      if (this.child.exitCode !== null) throw new Error(`coturn exited: ${this.log}`);
      return pattern.test(this.log);
    });
  }

  /** What coturn's own client says when it allocates, and sends itself a message through it. */
  async tryOut({ username, credential }: Credentials): Promise<string> {
    const to = ["-p", String(this.port), "-u", username, "-w", credential, "127.0.0.1"];
    const child = Bun.spawn([client.path, "-y", "-c", "-n", "1", "-L", "127.0.0.1", ...to], {
      stdout: "pipe",
      stderr: "pipe",
    });
    const said = Promise.all([child.stdout.text(), child.stderr.text()]);
    const [out, err] = await within("turnutils_uclient to end", said).finally(() => child.kill());
    return out + err;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill("SIGKILL");
    await this.child.exited;
    await rm(this.folder, { recursive: true, force: true });
  }

  private async collect(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      this.log += decoder.decode(chunk, { stream: true });
      this.changes.changed();
    }
    this.changes.changed();
  }
}
