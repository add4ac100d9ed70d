import { readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const systems = { win32: "windows" };
const processors = { arm64: "aarch64" };
/** Until the install script has run, a short text is in the program's place. */
const leastBytes = 1_000_000;

/**
 * The path and version of Bun as the npm package `bun`; undefined if it is not installed. Its install script
 * copies the program there from a package for this system. By default npm from 12 on and pnpm do not run the
 * script: then the program is used where it is.
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

/** Package managers install only the one that fits the C library. */
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
