/**
 * Builds the npm package into dist/npm: the server as one file of JavaScript that the pinned Bun
 * runs, and the client as `nt-signal/client`, JavaScript and types for any bundler and for Node.
 * With --check it is packed, installed from the tarball into an empty directory, and put through
 * what its users do. That needs npm, and a registry to install Bun from.
 *
 *     bun deploy/npm/pack.ts [--check]
 */
import { copyFile, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { within } from "../../test/support/waiting.ts";
import { walkThrough } from "../../test/support/walk-through.ts";

const project = join(import.meta.dir, "../..");
const out = join(project, "dist/npm");
const { name, version, description, license, engines } = await Bun.file(
  join(project, "package.json"),
).json();

await build();
report("built", out);
if (process.argv.includes("--check")) await check();

async function build(): Promise<void> {
  await rm(out, { recursive: true, force: true });
  await mkdir(out, { recursive: true });
  const main = ["src/main.ts", "--outfile", join(out, "nt-signal.js")];
  await run([process.execPath, "build", "--target=bun", "--minify", ...main], project);
  const client = ["-p", "src/client/tsconfig.json", "--outDir", out];
  await run([join(project, "node_modules/.bin/tsc"), ...client], project);
  for (const file of ["README.md", "LICENSE"]) await copyFile(join(project, file), join(out, file));
  for (const file of ["nt-signal.mjs", "run-in-place.mjs"]) {
    await copyFile(join(project, "deploy/npm", file), join(out, file));
  }
  await Bun.write(join(out, "bunfig.toml"), "# In place of one in the working directory.\n");
  const manifest = {
    ...{ name, version, description, license, type: "module" },
    bin: { "nt-signal": "nt-signal.mjs" },
    exports: { "./client": { types: "./client.d.ts", default: "./client.js" } },
    engines: { node: ">=20" },
    dependencies: { bun: engines.bun },
  };
  await Bun.write(join(out, "package.json"), `${JSON.stringify(manifest, undefined, 2)}\n`);
}

async function check(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "nt-signal-npm-"));
  try {
    await run(["npm", "pack", "--silent", "--pack-destination", folder], out);
    const tarball = join(folder, `${name}-${version}.tgz`);
    report("packed", `${(Bun.file(tarball).size / 1_000).toFixed(0)} kB`);
    await Bun.write(join(folder, "package.json"), '{"private":true,"type":"module"}\n');
    // Traps, as for the executable: what lies in the working directory is not read.
    await Bun.write(join(folder, ".env"), "PORT=not-a-port\n");
    await Bun.write(join(folder, "bunfig.toml"), 'preload = ["./trap.js"]\n');
    await Bun.write(join(folder, "trap.js"), "process.exit(42);\n");
    await run(["npm", "install", "--no-audit", "--no-fund", tarball], folder);
    const told = await run(["npx", "--no-install", "nt-signal", "--version"], folder);
    if (told.trim() !== version) throw new Error(`It says version ${told}`);
    await serves(folder);
    await endsWithNpx(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function serves(folder: string): Promise<void> {
  const env = { PATH: process.env["PATH"] ?? "", HOST: "127.0.0.1", PORT: "0" };
  const server = Bun.spawn([join(folder, "node_modules/.bin/nt-signal")], {
    ...{ cwd: folder, env, stdin: "ignore", stdout: "pipe", stderr: "inherit" },
  });
  try {
    const http = await within("the listening line", listening(server.stdout));
    const pair = await walkThrough(http, report);
    await Bun.write(join(folder, "user.js"), user(http));
    report("client in Node", (await run(["node", "user.js"], folder)).trim());
    await typesHold(folder);
    server.kill("SIGTERM");
    const code = await within("it to end", server.exited);
    if (code !== 0) throw new Error(`exit code ${code}`);
    report("SIGTERM", `exit 0, peers closed with ${(await pair.closed())[0]?.code}`);
  } finally {
    server.kill("SIGTERM");
    await server.exited;
  }
}

/** SIGKILL cannot be passed on: the server has to notice. */
async function endsWithNpx(folder: string): Promise<void> {
  const env = { PATH: process.env["PATH"] ?? "", HOST: "127.0.0.1", PORT: "0" };
  const npx = Bun.spawn(["npx", "--no-install", "nt-signal"], {
    ...{ cwd: folder, env, stdin: "ignore", stdout: "pipe", stderr: "inherit" },
  });
  const outlived = async () => {
    // The pipe ends with the last process that holds it.
    for await (const chunk of npx.stdout) {
      if (Buffer.from(chunk).includes('"msg":"listening"')) npx.kill("SIGKILL");
    }
  };
  await within("the server to end", outlived());
  report("SIGKILL to npx", "ends the server");
}

function user(http: string): string {
  return `import { mint, redeem, SignalingClient } from "nt-signal/client";
    const { code, appID } = await mint("${http}");
    const found = await redeem("${http}", code);
    if (found.appID !== appID) throw new Error("another room");
    console.log("minted, redeemed,", typeof SignalingClient);\n`;
}

/** For bundlers, and for Node as TypeScript knows it. */
async function typesHold(folder: string): Promise<void> {
  const source = `import { mint, SignalingClient, type Minted } from "nt-signal/client";
    const minted: Promise<Minted> = mint("https://signal.example.com");
    export const open = async () =>
      new SignalingClient({ url: "", appId: (await minted).appID, side: "A" }).state satisfies string;\n`;
  await Bun.write(join(folder, "user.ts"), source);
  for (const module of ["nodenext", "preserve"]) {
    const flags = ["--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom"];
    const tsc = join(project, "node_modules/.bin/tsc");
    await run([tsc, ...flags, "--types", "", "--module", module, "user.ts"], folder);
  }
  report("types", "hold with nodenext and with a bundler");
}

async function listening(output: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of output) {
    text += decoder.decode(chunk, { stream: true });
    const port = /"msg":"listening".*"port":(\d+)/.exec(text)?.[1];
    if (port !== undefined) return `http://127.0.0.1:${port}`;
  }
  throw new Error(`It ended without listening: ${text}`);
}

/** What it prints. Throws what it complains of when it fails. */
async function run(cmd: readonly string[], cwd: string): Promise<string> {
  const child = Bun.spawn([...cmd], { cwd, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [text, complaint] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  if ((await child.exited) !== 0) throw new Error(`${cmd.join(" ")}: ${text}${complaint}`);
  return text;
}

function report(step: string, result: string): void {
  process.stdout.write(`${step}: ${result}\n`);
}
