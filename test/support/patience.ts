import { plugin } from "bun";

/**
 * Run before the tests (bunfig.toml). A test outlives the patience of its helpers, so that what fails
 * is the helper that can say what it waited for. Bun forgets a default timeout at the end of each file
 * and reads none from bunfig.toml, so every test file sets it in its first line.
 */
const timeoutMs = 60_000;

plugin({
  name: "patience",
  setup(build) {
    build.onLoad({ filter: /\.test\.ts$/ }, async ({ path }) => ({
      loader: "ts",
      contents: `(await import("bun:test")).setDefaultTimeout(${timeoutMs}); ${await Bun.file(path).text()}`,
    }));
  },
});
