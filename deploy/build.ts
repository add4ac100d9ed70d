/**
 * Builds the executable twice. The first one is started, asked once and stopped, and writes down which
 * code that ran; the second has the bytecode of it side by side, so that a start reads fewer pages.
 * Only the executable is left: source maps of its parts are in it already. The same sources and packages
 * give the same bytes, wherever they are built.
 *
 *     bun deploy/build.ts dist/nt-signal
 *     bun deploy/build.ts nt-signal.exe --target=bun-windows-x64
 */
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { run } from "./run.ts";

const flags = [
  "--compile",
  "--minify",
  "--bytecode",
  "--format=esm",
  // What is loaded late is a file of its own: otherwise its bytecode takes memory from the start.
  "--splitting",
  "--sourcemap",
  "--no-compile-autoload-dotenv",
  "--no-compile-autoload-bunfig",
  // Until a second after the server listens: `serve` sets it back.
  "--compile-jit-policy=4",
];

/** Until the timers of the start have run: one run may reach them, and the next one not. */
const startedMs = 2_500;

const [file, ...target] = process.argv.slice(2);
if (file === undefined)
  throw new Error("Name the file to build: bun deploy/build.ts dist/nt-signal");
await mkdir(dirname(resolve(file)), { recursive: true });
const folder = await mkdtemp(`${resolve(file)}-build-`);
try {
  const [first, order] = [join(folder, "first/nt-signal"), join(folder, "order")];
  await build(first, []);
  await runOnce(first, order);
  const last = join(folder, "last", basename(file));
  await canonicalize(order);
  await build(last, [`--bytecode-order=${order}`, ...target]);
  await rename(last, file);
} finally {
  await rm(folder, { recursive: true });
}

async function build(outfile: string, options: readonly string[]): Promise<void> {
  const cmd = ["build", ...flags, ...options, "src/main.ts", "--outfile", outfile];
  await run([process.execPath, ...cmd], { cwd: join(import.meta.dir, "..") });
}

async function runOnce(binary: string, order: string): Promise<void> {
  const env = { HOST: "127.0.0.1", PORT: "0", LOG_FORMAT: "json", BUN_BYTECODE_ORDER_OUT: order };
  const child = Bun.spawn([binary], { cwd: folder, env, stdout: "pipe", stderr: "inherit" });
  let log = "";
  let asked: Promise<void> | undefined;
  // Read to its end: what the server does when nobody reads its log is not part of a start.
  for await (const bytes of child.stdout) {
    log += Buffer.from(bytes).toString();
    const port = /"port":(\d+)/.exec(log)?.[1];
    if (port !== undefined) asked ??= askOnce(port).finally(() => child.kill("SIGTERM"));
  }
  if (asked === undefined) throw new Error(`The server did not start: ${log}`);
  await asked;
  if ((await child.exited) !== 0) throw new Error("The server did not end by itself");
}

async function askOnce(port: string): Promise<void> {
  await fetch(`http://127.0.0.1:${port}/healthz`, { headers: { connection: "close" } });
  await Bun.sleep(startedMs);
}

/**
 * Leaves the functions that ran (`F`), sorted: a start reads as few pages with them in any order, and the
 * order in which they first ran, and what else is in the file, differ from run to run.
 */
async function canonicalize(order: string): Promise<void> {
  const [version, ...lines] = (await Bun.file(order).text()).trimEnd().split("\n");
  const ran = lines.filter((line) => line.startsWith("F ")).toSorted();
  if (ran.length === 0) throw new Error("The order of the bytecode names no function");
  await Bun.write(order, [version, ...ran, ""].join("\n"));
}
