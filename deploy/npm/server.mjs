import { fileURLToPath } from "node:url";
import { installedBun } from "./find-bun.mjs";

const file = (name) => fileURLToPath(new URL(name, import.meta.url));
const installed = installedBun();
if (installed === undefined) {
  throw new Error(
    "There is no Bun for this system among the installed packages. Try: npm install bun",
  );
}

/**
 * How to run the server: under the very Bun that it was tested with. Like the executable it reads no .env
 * and no bunfig.toml from where it runs.
 */
export const bun = installed.path;
export const serverArgs = [
  "--no-env-file",
  `--config=${file("./bunfig.toml")}`,
  file("./nt-signal.js"),
];
