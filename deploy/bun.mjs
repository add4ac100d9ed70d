// Runs Bun in the version that package.json names, on any system with Node.js and npm: the installed
// one, one on PATH, or else one that npm fetches.
//
//     node deploy/bun.mjs install --frozen-lockfile
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { runInPlace } from "./npm/run-in-place.mjs";

const file = (name) => fileURLToPath(new URL(name, import.meta.url));
const version = JSON.parse(readFileSync(file("../package.json"), "utf8")).engines.bun;
const args = process.argv.slice(2);
const bun = [file("../node_modules/bun/bin/bun.exe"), "bun"].find(
  (path) => spawnSync(path, ["--version"], { encoding: "utf8" }).stdout?.trim() === version,
);
const npm = process.env.npm_execpath ?? "";
const [program, ...before] =
  bun === undefined ? [process.execPath, npm, "exec", "--yes", "--", `bun@${version}`] : [bun];
if (program !== bun && npm === "") {
  process.stderr.write(`There is no Bun ${version}. Start this with npm, which fetches it.\n`);
  process.exit(1);
}
runInPlace(program, [...before, ...args], {
  endsWithMe: args[0] === "src/main.ts",
  onError: "Try: npm rebuild bun",
});
