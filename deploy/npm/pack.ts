/**
 * Builds the npm packages: `nt-signal` into dist/npm, the server as JavaScript that the pinned Bun runs
 * and `nt-signal/test`, which starts it for other people's tests; `nt-signal-client` into
 * dist/npm-client, JavaScript and types for browsers, bundlers, Node and Bun. With --check they are
 * packed, installed from the tarballs into an empty directory, and put through what their users do.
 * That needs npm, and a registry to install Bun from.
 *
 *     bun deploy/npm/pack.ts [--out=dist/npm] [--check]
 */
import { copyFile, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { within } from "../../test/support/waiting.ts";
import { walkThrough } from "../../test/support/walk-through.ts";
import { listeningPort, report, run } from "../run.ts";

const project = join(import.meta.dir, "../..");
const named = process.argv.find((arg) => arg.startsWith("--out="))?.slice("--out=".length);
const out = named ?? join(project, "dist/npm");
const clientOut = `${out}-client`;
const { name, version, description, license, repository, engines } = await Bun.file(
  join(project, "package.json"),
).json();

/** Each with a WebSocket of its own, if it has one, and with that of `ws`. */
const others = [
  ...["ws@8.23.0", "ws7@npm:ws@7.5.10", "@types/ws@8.18.2"],
  ...["node22@npm:node@22", "node24@npm:node@24"],
];
const strict = "--unhandled-rejections=strict";
const runtimes = [
  ["node", strict],
  ["../node_modules/node22/bin/node", strict],
  ["../node_modules/node24/bin/node", strict],
  [process.execPath, strict],
];

await build();
await buildClient();
report("built", `${out}, ${clientOut}`);
if (process.argv.includes("--check")) await check();

async function build(): Promise<void> {
  await rm(out, { recursive: true, force: true });
  await mkdir(out, { recursive: true });
  // What is loaded late is a file of its own, as in the executable.
  const main = ["src/main.ts", "--splitting", "--outdir", out, "--entry-naming=nt-signal.js"];
  await run([process.execPath, "build", "--target=bun", "--minify", ...main], { cwd: project });
  await copyFile(join(project, "LICENSE"), join(out, "LICENSE"));
  await writeReadme("README.md", out);
  for (const file of [
    "find-bun.mjs",
    "nt-signal.mjs",
    "run-in-place.mjs",
    "server.mjs",
    "testing.mjs",
    "testing.d.mts",
  ]) {
    await copyFile(join(project, "deploy/npm", file), join(out, file));
  }
  await Bun.write(join(out, "bunfig.toml"), "# In place of one in the working directory.\n");
  const manifest = {
    ...{ name, version, description, license, repository, type: "module" },
    bin: { "nt-signal": "nt-signal.mjs" },
    exports: { "./test": { types: "./testing.d.mts", default: "./testing.mjs" } },
    engines: { node: ">=20" },
    dependencies: { bun: engines.bun },
  };
  await Bun.write(join(out, "package.json"), `${JSON.stringify(manifest, undefined, 2)}\n`);
}

async function buildClient(): Promise<void> {
  await rm(clientOut, { recursive: true, force: true });
  await mkdir(clientOut, { recursive: true });
  const files = ["-p", "src/client/tsconfig.json", "--outDir", clientOut];
  await run([join(project, "node_modules/.bin/tsc"), ...files], { cwd: project });
  await copyFile(join(project, "LICENSE"), join(clientOut, "LICENSE"));
  await writeReadme("docs/client.md", clientOut);
  const manifest = {
    ...{ name: `${name}-client`, version, license, repository, type: "module", sideEffects: false },
    description: "Client of nt-signal: from a short code to an RTCPeerConnection that stays.",
    exports: {
      ".": { types: "./client.d.ts", default: "./client.js" },
      "./peer": { types: "./peer.d.ts", default: "./peer.js" },
    },
    engines: { node: ">=20" },
  };
  await Bun.write(join(clientOut, "package.json"), `${JSON.stringify(manifest, undefined, 2)}\n`);
}

/** With links into the repository, as the files are not in the package. */
async function writeReadme(file: string, into: string): Promise<void> {
  const text = await Bun.file(join(project, file)).text();
  const home = repository.replace("github:", "https://github.com/");
  const linked = text.replaceAll(
    /\]\((?!\w+:|#)([^)]+)\)/g,
    (_, path: string) => `](${home}/blob/v${version}/${join(dirname(file), path)})`,
  );
  await Bun.write(join(into, "README.md"), linked);
}

/** Packs the directory, and returns the path of the tarball. */
async function packed(from: string, into: string): Promise<string> {
  const file = await run(["npm", "pack", "--silent", "--pack-destination", into], { cwd: from });
  const tarball = join(into, file.trim());
  report("packed", `${file.trim()}, ${(Bun.file(tarball).size / 1_000).toFixed(0)} kB`);
  return tarball;
}

async function check(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "nt-signal-npm-"));
  try {
    const tarballs = [await packed(out, folder), await packed(clientOut, folder)];
    await Bun.write(join(folder, "package.json"), '{"private":true,"type":"module"}\n');
    // Traps, as for the executable: files in the working directory must not be read.
    await Bun.write(join(folder, ".env"), "PORT=not-a-port\n");
    await Bun.write(join(folder, "bunfig.toml"), 'preload = ["./trap.js"]\n');
    await Bun.write(join(folder, "trap.js"), "process.exit(42);\n");
    const inFolder = { cwd: folder };
    const install = ["npm", "install", "--no-audit", "--no-fund"];
    // npm 12 and pnpm do not run the script that puts Bun into its package.
    await run([...install, "--ignore-scripts", ...tarballs], inFolder);
    await run([...install, ...others], inFolder);
    const printed = await run(["npx", "--no-install", "nt-signal", "--version"], inFolder);
    if (printed.trim() !== version) throw new Error(`It says version ${printed}`);
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
    const port = await within("the listening line", listeningPort(server.stdout));
    const http = `http://127.0.0.1:${port}`;
    const pair = await walkThrough(http, report);
    // Away from the traps: a user's own Bun does read its working directory.
    const home = join(folder, "user");
    await Bun.write(join(home, "user.js"), user(http));
    for (const runtime of runtimes) {
      report(
        "client",
        (await within("it to end", run([...runtime, "user.js"], { cwd: home }), 30_000)).trim(),
      );
    }
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

/**
 * From a code to mail and back, on each WebSocket; a server that is away is reported, not thrown. The
 * process ends when its clients are closed, though one of them is at a port that says nothing.
 */
function user(http: string): string {
  return `import { connect } from "nt-signal-client/peer";
    import { SignalingClient } from "nt-signal-client";
    import net from "node:net";
    import ws from "ws";
    import ws7 from "ws7";
    const used = [];
    const silent = net.createServer(() => {}).listen(0, "127.0.0.1").unref();
    await new Promise((resolve) => silent.once("listening", resolve));
    for (const [name, WebSocket] of Object.entries({ own: globalThis.WebSocket, ws, ws7 })) {
      if (WebSocket === undefined) continue;
      const away = await new Promise((resolve) => {
        const client = new SignalingClient({ url: "http://127.0.0.1:1", WebSocket, on: {
          state: (state, why) => state === "retrying" && (client.close(), resolve(why.code)),
        } });
      });
      const mail = Promise.withResolvers?.() ?? {};
      mail.promise ??= new Promise((resolve) => (mail.resolve = resolve));
      const a = new SignalingClient({ url: "${http}", WebSocket, on: { mail: mail.resolve } });
      const { code } = await a.mint();
      const b = new SignalingClient({ url: "${http}", WebSocket });
      await b.redeem(code);
      await b.send("from " + name);
      const unheard = new SignalingClient({
        url: "http://127.0.0.1:" + silent.address().port, WebSocket,
      });
      const ended = Promise.allSettled([unheard.mint(), unheard.send("never")]);
      used.push(name + ": " + (await mail.promise) + ", away " + away);
      for (const client of [a, b, unheard]) client.close();
      for (const { status } of await ended) if (status !== "rejected") throw new Error(status);
    }
    console.log(process.version, typeof connect, used.join("; "));\n`;
}

/** For bundlers, and for Node as TypeScript knows it. */
async function typesHold(folder: string): Promise<void> {
  await copyFile(join(project, "test/client/natural-lines.ts"), join(folder, "user.ts"));
  for (const module of ["nodenext", "preserve"]) {
    const flags = ["--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom"];
    const tsc = join(project, "node_modules/.bin/tsc");
    await run([tsc, ...flags, "--types", "", "--module", module, "user.ts"], { cwd: folder });
  }
  report("types", "hold with nodenext and with a bundler");
}
