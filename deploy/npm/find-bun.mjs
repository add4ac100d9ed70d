import { readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const systems = { win32: "windows" };
const processors = { arm64: "aarch64" };
/** The text that stands in the program's place until its install script has run is shorter. */
const leastBytes = 1_000_000;

/**
 * The program of the npm package `bun`, and its version; undefined where it is not installed. An install script
 * copies the program into that package, from one for this system. npm from 12 on and pnpm run no such script
 * unless they are told to: then the program is used where it is.
 */
export function installedBun() {
  try {
    const folder = dirname(createRequire(import.meta.url).resolve("bun/package.json"));
    const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const copied = join(folder, "bin/bun.exe");
    const path = isProgram(copied) ? copied : platformBun(join(folder, "package.json"));
    return path && { path, version };
  } catch {
    return undefined;
  }
}

/** Package managers install the one that fits the C library alone. */
function platformBun(from) {
  const { resolve } = createRequire(from);
  const { platform, arch } = process;
  const name = `@oven/bun-${systems[platform] ?? platform}-${processors[arch] ?? arch}`;
  const program = platform === "win32" ? "bin/bun.exe" : "bin/bun";
  for (const libc of ["", "-musl"]) {
    try {
      const path = join(dirname(resolve(`${name}${libc}/package.json`)), program);
      if (isProgram(path)) return path;
    } catch {
      // That one is not installed.
    }
  }
  return undefined;
}

function isProgram(path) {
  return (statSync(path, { throwIfNoEntry: false })?.size ?? 0) > leastBytes;
}
