#!/usr/bin/env node
// What npx and bunx start: the server under the very Bun that it was tested with. Like the executable
// it reads no .env and no bunfig.toml from where it runs.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const file = (name) => fileURLToPath(new URL(name, import.meta.url));
const bun = join(
  dirname(createRequire(import.meta.url).resolve("bun/package.json")),
  "bin/bun.exe",
);
const options = ["--no-env-file", `--config=${file("./bunfig.toml")}`, file("./nt-signal.js")];
const server = spawn(bun, [...options, ...process.argv.slice(2)], { stdio: "inherit" });

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  // A terminal sends Ctrl+C to both by itself, and a second one would end the server at once.
  process.on(signal, () => (signal === "SIGINT" && process.stdin.isTTY) || server.kill(signal));
}
server.on("error", ({ message }) => {
  process.stderr.write(`Bun cannot be started (${message}). Try: npm rebuild bun\n`);
  process.exit(1);
});
server.on("exit", (code) => process.exit(code ?? 1));
