import { join } from "node:path";
import { $ } from "bun";
import { temporaryFolder } from "../support/folder.ts";

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
  const folder = await temporaryFolder();
  const source = [bun, join(root, "src/main.ts")];
  const file = folder.at("nt-signal");
  if (build) await $`${bun} ${join(root, "deploy/build.ts")} ${file}`.quiet();
  for (const program of build ? [bun, file] : []) await forget(program);
  return {
    floor: [bun, join(import.meta.dir, "floor.ts")],
    source,
    binary: build ? [file] : source,
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

/**
 * Has the system forget a file that it holds in memory, so that the next start reads it from the disk. Of one
 * that was just written, as no user's is, 6 MB more are mapped.
 */
async function forget(file: string): Promise<void> {
  await $`sync ${file} && dd if=${file} iflag=nocache count=0`.quiet().nothrow();
}
