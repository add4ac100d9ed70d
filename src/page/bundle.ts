import { readFileSync } from "node:fs";
import { join } from "node:path";

/** What the page is made of, each as one text. */
interface Bundle {
  readonly html: string;
  readonly css: string;
  readonly js: string;
  /** The signaling client and the peer on it, each as a module of its own. */
  readonly client: string;
  readonly peer: string;
}

/**
 * Builds the page's parts. A macro: it runs when the sources are compiled. So the executable contains
 * the texts, and a server run from source builds them at the first request for the page. Both serve
 * the same bytes. Throws the bundler's messages when it fails.
 */
export function bundle(): Bundle {
  return {
    html: readFileSync(join(import.meta.dir, "browser/page.html"), "utf8"),
    css: built("browser/page.css", "--minify"),
    js: built("browser/main.ts", "--minify"),
    client: built("../client/client.ts"),
    peer: built("../client/peer.ts"),
  };
}

function built(file: string, ...flags: string[]): string {
  const path = join(import.meta.dir, file);
  return bytesOf(process.execPath, ["build", path, "--target=browser", ...flags]).trim();
}

/** Macros can start programs, but not wait for promises of the bundler that they run in. */
function bytesOf(program: string, args: readonly string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([program, ...args]);
  if (exitCode !== 0) throw new Error(`Cannot build ${args.join(" ")}: ${stderr.toString()}`);
  return stdout.toString();
}
