import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const file = (name) => fileURLToPath(new URL(name, import.meta.url));
const { resolve } = createRequire(import.meta.url);

/**
 * How to run the server: under the very Bun that it was tested with. Like the executable it reads no .env
 * and no bunfig.toml from where it runs.
 */
export const bun = join(dirname(resolve("bun/package.json")), "bin/bun.exe");
export const serverArgs = [
  "--no-env-file",
  `--config=${file("./bunfig.toml")}`,
  file("./nt-signal.js"),
];
