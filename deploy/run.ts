/** Runs a program and returns what it prints. Throws with what it wrote when it fails. */
export async function run(
  cmd: readonly string[],
  options: { readonly cwd?: string; readonly env?: Record<string, string | undefined> } = {},
): Promise<string> {
  const child = Bun.spawn([...cmd], {
    ...options,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [text, complaint] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  const code = await child.exited;
  if (code !== 0) throw new Error(`${cmd.join(" ")} ended with ${code}: ${text}${complaint}`);
  return text;
}

/** The port in the log line with which a server says that it listens. Reads no further. */
export async function listeningPort(output: ReadableStream<Uint8Array>): Promise<number> {
  let text = "";
  for await (const bytes of output) {
    text += Buffer.from(bytes).toString();
    const port = /"msg":"listening".*"port":(\d+)/.exec(text)?.[1];
    if (port !== undefined) return Number(port);
  }
  throw new Error(`It ended without listening: ${text}`);
}

export function report(step: string, result: string): void {
  process.stdout.write(`${step}: ${result}\n`);
}
