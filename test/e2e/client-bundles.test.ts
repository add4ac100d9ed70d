import { expect, test } from "bun:test";
import { join } from "node:path";
import { gzipSync } from "bun";
import esbuild from "esbuild";
import { build } from "vite";

const source = (name: string) => join(import.meta.dir, "../../src/client", name);
const files = [
  { file: "client.ts", name: "SignalingClient", mostBytes: 4_000 },
  { file: "peer.ts", name: "connect", mostBytes: 9_000 },
] as const;

for (const { file, name, mostBytes } of files) {
  test(`esbuild bundles ${file} to at most ${mostBytes} bytes, compressed`, async () => {
    const { outputFiles } = await esbuild.build({
      ...{ entryPoints: [source(file)], bundle: true, minify: true },
      ...{ format: "esm", write: false },
    });
    const [bundle] = outputFiles;
    expect(bundle?.text).toContain(name);
    expect(gzipSync(bundle?.contents as Uint8Array<ArrayBuffer>).length).toBeLessThan(mostBytes);
  });

  test(`vite bundles ${file} as part of an application`, async () => {
    const lib = { entry: source(file), formats: ["es" as const], fileName: "bundle" };
    const built = await build({
      ...{ configFile: false, logLevel: "error", root: join(import.meta.dir, "../client") },
      build: { write: false, lib },
    });
    const [{ output }] = built as { output: { code: string }[] }[] as [
      { output: { code: string }[] },
    ];
    expect(output[0]?.code).toContain(name);
  });
}
