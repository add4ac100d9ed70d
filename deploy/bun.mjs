// Runs Bun in the version that package.json names, on any system with Node.js and npm: the installed
// one, one on PATH, or else one that npm fetches.
//
//     node deploy/bun.mjs install --frozen-lockfile
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { installedBun } from "./npm/find-bun.mjs";
import { runInPlace } from "./npm/run-in-place.mjs";

const manifest = fileURLToPath(new URL("../package.json", import.meta.url));
const version = JSON.parse(readFileSync(manifest, "utf8")).engines.bun;
const args = process.argv.slice(2);
const installed = installedBun();
const isOnPath = () =>
  spawnSync("bun", ["--version"], { encoding: "utf8" }).stdout?.trim() === version;
const bun = installed?.version === version ? installed.path : isOnPath() ? "bun" : undefined;
const npm = process.env.npm_execpath ?? "";
// npm from 12 on runs the script that puts Bun into its package only where that is allowed.
const fetched = ["exec", "--yes", "--allow-scripts=bun", "--", `bun@${version}`];
const [program, ...before] = bun === undefined ? [process.execPath, npm, ...fetched] : [bun];
if (bun === undefined && npm === "") {
  process.stderr.write(`There is no Bun ${version}. Start this with npm, which fetches it.\n`);
  process.exit(1);
}
runInPlace(program, [...before, ...args], {
  endsWithMe: args[0] === "src/main.ts",
  onError: "Try: npm rebuild bun",
});
