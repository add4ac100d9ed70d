/**
 * Puts a built binary through what its users do: start it from an empty directory, mint, redeem,
 * two sockets, relay, SIGTERM. Also that it reads nothing from where it runs.
 *
 *     bun deploy/release/probe-binary.ts dist/nt-signal
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { page } from "../../src/page/page.ts";
import { within } from "../../test/support/waiting.ts";
import { walkThrough } from "../../test/support/walk-through.ts";
import { listeningPort, report } from "../run.ts";

const binary = resolve(process.argv[2] ?? "dist/nt-signal");
const directory = await mkdtemp(join(tmpdir(), "nt-signal-probe-"));
// Traps: a binary that picked these up would listen elsewhere, or die.
await Bun.write(join(directory, ".env"), "PORT=not-a-port\n");
await Bun.write(join(directory, "bunfig.toml"), 'preload = ["./trap.ts"]\n');
await Bun.write(join(directory, "trap.ts"), "process.exit(42);\n");

const startedAt = performance.now();
const child = Bun.spawn([binary], {
  cwd: directory,
  env: { HOST: "127.0.0.1", PORT: "0" },
  stdout: "pipe",
  stderr: "inherit",
});

try {
  const port = await within("the listening line", listeningPort(child.stdout));
  const http = `http://127.0.0.1:${port}`;
  const health = await fetch(`${http}/healthz`);
  report("first answer", `${health.status} after ${Math.round(performance.now() - startedAt)} ms`);

  const shown = await (await fetch(http)).text();
  if (shown !== page.html.replace("<!-- lan -->", ""))
    throw new Error("The page is not the one of the sources");
  report("page", `${shown.length} characters, as from the sources`);
  const pair = await walkThrough(http, report);

  child.kill("SIGTERM");
  const code = await within("the process to end", child.exited);
  if (code !== 0) throw new Error(`exit code ${code}`);
  const [closed] = await pair.closed();
  report("SIGTERM", `exit 0, peers closed with ${closed?.code}`);
} finally {
  child.kill("SIGKILL");
  await rm(directory, { recursive: true });
}
