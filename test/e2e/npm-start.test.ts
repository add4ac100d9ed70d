import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { temporaryFolder } from "../support/folder.ts";
import { requireProgram } from "../support/program.ts";
import { Changes, until } from "../support/waiting.ts";

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

describe.skipIf(npm.missing)("npm start", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "nt-signal-npm-"));
    const plain = `#!${requireProgram("node").path}
      const [program, ...args] = process.argv[3].split(" ");
      require("node:child_process").spawn(program, args, { stdio: "inherit" });\n`;
    await Bun.write(join(folder, "plain.cjs"), plain);
    await chmod(join(folder, "plain.cjs"), 0o755);
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  describe.each([
    ["the system's shell", () => []],
    ["one that can only start a program", () => ["--script-shell", join(folder, "plain.cjs")]],
  ])("with %s", (_, shell) => {
    test.each(["SIGTERM", "SIGKILL"] as const)(
      "%s to npm ends the server in order",
      async (signal) => {
        const { child, printed } = runNpm(["start", ...shell()], root, process.env["PATH"] ?? "");
        try {
          const output = await printed('"msg":"listening"');
          const url = output.match(/http:\/\/127\.0\.0\.1:\d+/)?.[0] ?? "";
          expect((await fetch(`${url}/healthz`)).status).toBe(200);
          child.kill(signal);
          await printed('"msg":"draining"');
          await until("the port to be free", () =>
            fetch(`${url}/healthz`).then(
              () => undefined,
              () => true,
            ),
          );
        } finally {
          child.kill("SIGKILL");
        }
      },
    );
  });
});

test.skipIf(npm.missing)("without Bun it is npm that fetches the right one", async () => {
  await using folder = await temporaryFolder();
  for (const name of [
    "package.json",
    "deploy/bun.mjs",
    "deploy/npm/find-bun.mjs",
    "deploy/npm/run-in-place.mjs",
  ]) {
    await Bun.write(folder.at(name), Bun.file(join(root, name)));
  }
  await Bun.write(folder.at("npm.cjs"), "console.log(...process.argv.slice(2));\n");
  const { scripts, engines } = await Bun.file(join(root, "package.json")).json();
  for (const name of ["prestart", "pretest", "prebuild", "prerelease"]) {
    const [node, ...args] = scripts[name].split(" ");
    const env = { PATH: "", npm_execpath: folder.at("npm.cjs") };
    const run = Bun.spawn([requireProgram(node).path, ...args], { cwd: folder.path, env });
    const asked = `exec --yes --allow-scripts=bun -- bun@${engines.bun} install --frozen-lockfile --silent\n`;
    expect(await run.stdout.text()).toBe(asked);
    expect(await run.exited).toBe(0);
  }
});
