import { join } from "node:path";

const main = join(import.meta.dir, "../../src/main.ts");
const preload = join(import.meta.dir, "clock-offset.ts");

/** A server in a process of its own, on the same port whenever it is started again. */
export class ChaosNode implements AsyncDisposable {
  /** Lines of its log that tell of something wrong with the program itself. */
  readonly faults: string[] = [];
  private child: Bun.Subprocess<"ignore", "pipe", "pipe"> | undefined;
  private over = false;
  private running: Promise<void> | undefined;

  constructor(
    readonly port: number,
    private readonly env: Record<string, string>,
  ) {}

  get http(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Keeps it running: whenever it ends it is started again, as an orchestrator does. */
  run(): void {
    this.over = false;
    this.running = this.keepRunning();
  }

  signal(signal: "SIGKILL" | "SIGSTOP" | "SIGCONT"): void {
    this.child?.kill(signal);
  }

  /** Kills it, for good or until `run`. */
  async kill(): Promise<void> {
    this.over = true;
    this.signal("SIGKILL");
    await this.running;
  }

  async isReady(): Promise<boolean> {
    const signal = AbortSignal.timeout(500);
    const answer = await fetch(`${this.http}/readyz`, { signal }).catch(() => undefined);
    return answer?.ok === true;
  }

  /** Bytes of memory that it occupies. */
  async rss(): Promise<number> {
    const status = await Bun.file(`/proc/${this.child?.pid}/status`).text();
    return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) * 1024;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  private async keepRunning(): Promise<void> {
    while (!this.over) {
      this.child = Bun.spawn([process.execPath, "--preload", preload, main], {
        env: { HOST: "127.0.0.1", PORT: String(this.port), ...this.env },
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
      });
      await Promise.all([this.listen(this.child.stdout), this.listen(this.child.stderr)]);
      await this.child.exited;
      if (!this.over) await Bun.sleep(100);
    }
  }

  private async listen(stream: ReadableStream<Uint8Array>): Promise<void> {
    let text = "";
    for await (const chunk of stream) {
      text += Buffer.from(chunk).toString();
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      const wrong = /internal error|uncaught|unhandled|Unexpected/;
      this.faults.push(...lines.filter((line) => wrong.test(line)));
    }
  }
}
