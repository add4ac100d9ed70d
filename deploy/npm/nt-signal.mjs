#!/usr/bin/env node
// What npx and bunx start: the server under the very Bun that it was tested with. Like the executable
// it reads no .env and no bunfig.toml from where it runs.
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { runInPlace } from "./run-in-place.mjs";

const file = (name) => fileURLToPath(new URL(name, import.meta.url));
const bun = join(
  dirname(createRequire(import.meta.url).resolve("bun/package.json")),
  "bin/bun.exe",
);
const options = ["--no-env-file", `--config=${file("./bunfig.toml")}`, file("./nt-signal.js")];
runInPlace(bun, [...options, ...process.argv.slice(2)], {
  endsWithMe: true,
  onError: "Try: npm rebuild bun",
});
