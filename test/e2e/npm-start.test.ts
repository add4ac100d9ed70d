import { expect, test } from "bun:test";
import { chmod, mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { requireProgram } from "../support/program.ts";
import { Changes, within } from "../support/waiting.ts";

const npm = requireProgram("npm");
const root = join(import.meta.dir, "../..");

interface Npm {
  readonly child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  /** Resolves once this stands in what it printed, stderr included. */
  printed(text: string): Promise<string>;
}

function runNpm(args: readonly string[], cwd: string, path: string): Npm {
  const child = Bun.spawn([npm.path, ...args], {
    cwd,
    env: {
      PATH: path,
      HOME: tmpdir(),
      HOST: "127.0.0.1",
      PORT: "0",
      npm_config_update_notifier: "false",
    },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  let output = "";
  let hasEnded = false;
  const changes = new Changes();
  const collect = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      output += decoder.decode(chunk, { stream: true });
      changes.changed();
    }
  };
  void Promise.all([collect(child.stdout), collect(child.stderr)]).then(() => {
    hasEnded = true;
    changes.changed();
  });
  return {
    child,
    printed(text) {
      return changes.until(`"${text}" from npm`, () => {
        if (output.includes(text)) return output;
        if (hasEnded) throw new Error(`npm ended without it: ${output}`);
        return undefined;
      });
    },
  };
}

test.skipIf(npm.missing)("SIGTERM to npm start ends the server in order", async () => {
  const path = process.env["PATH"] ?? "";
  const { child, printed } = runNpm(["start", "--ignore-scripts"], root, path);
  try {
    const line = (await printed('"msg":"listening"')).match(/http:\/\/127\.0\.0\.1:\d+/);
    const url = line?.[0] ?? "";
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    child.kill("SIGTERM");
    // The pipe ends with the last process that holds it: with the server, not only with npm.
    await printed('"msg":"draining"');
    expect(await within("npm to exit", child.exited)).toBe(0);
    await expect(fetch(`${url}/healthz`)).rejects.toThrow();
  } finally {
    child.kill("SIGKILL");
  }
});

test.skipIf(npm.missing)(
  "without bun on PATH the packages are installed by npx, silently so",
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "nt-signal-npm-"));
    try {
      const bin = join(folder, "bin");
      await mkdir(bin);
      for (const name of ["node", "npm", "sh"]) {
        await symlink(requireProgram(name).path, join(bin, name));
      }
      await Bun.write(join(bin, "npx"), '#!/bin/sh\necho "asked npx: $*"\n');
      await chmod(join(bin, "npx"), 0o755);
      await Bun.write(join(folder, "package.json"), Bun.file(join(root, "package.json")));
      for (const script of ["prestart", "pretest", "prebuild", "prerelease"]) {
        const { child, printed } = runNpm(["run", script], folder, bin);
        const output = await printed("asked npx: --yes bun@1.4.5 install --frozen-lockfile");
        expect(await child.exited).toBe(0);
        expect(output).not.toContain("not found");
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
);
