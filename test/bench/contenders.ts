import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { $ } from "bun";

const root = join(import.meta.dir, "../..");
const bun = process.execPath;

export interface Contenders extends AsyncDisposable {
  readonly floor: readonly string[];
  readonly source: readonly string[];
  /** As it is given to users, built anew. */
  readonly binary: readonly string[];
}

/** What runs against each other. Without `build` the binary is the source. */
export async function contenders(build: boolean): Promise<Contenders> {
  const folder = await mkdtemp(join(tmpdir(), "nt-signal-built-"));
  const source = [bun, join(root, "src/main.ts")];
  const file = join(folder, "nt-signal");
  if (build) await $`${bun} ${join(root, "deploy/build.ts")} ${file}`.quiet();
  return {
    floor: [bun, join(import.meta.dir, "floor.ts")],
    source,
    binary: build ? [file] : source,
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}
