import { afterAll, beforeAll, expect, test } from "bun:test";
import { cp, mkdir, mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { chromiumProgram, noBrowser } from "../support/browser.ts";
import { temporaryFolder } from "../support/folder.ts";
import { requireProgram } from "../support/program.ts";
import { until, within } from "../support/waiting.ts";

const project = join(import.meta.dir, "../..");
const node = requireProgram("node");

/** Where somebody's app has its tests: with the npm package as it is published, and what they run with. */
let app: string;
beforeAll(async () => {
  app = await mkdtemp(join(tmpdir(), "nt-signal-app-"));
  const packages = join(app, "node_modules");
  const out = `--out=${join(packages, "nt-signal")}`;
  await run([process.execPath, join(project, "deploy/npm/pack.ts"), out]);
  await mkdir(join(packages, "@playwright"));
  for (const name of ["bun", "vitest", "@playwright/test", "typescript"]) {
    await symlink(join(project, "node_modules", name), join(packages, name));
  }
  await Bun.write(join(app, "package.json"), '{"type":"module"}');
});
afterAll(() => rm(app, { recursive: true, force: true }));

/** The example in docs/testing.md that imports this. */
async function example(imported: string): Promise<string> {
  const text = await Bun.file(join(project, "docs/testing.md")).text();
  const blocks = Array.from(text.matchAll(/^```js\n(.*?)^```/gms), ([, code = ""]) => code);
  const found = blocks.find((code) => code.includes(`"${imported}"`));
  if (found === undefined) throw new Error(`docs/testing.md has no example with ${imported}`);
  return found;
}

async function run(cmd: readonly string[], cwd = app): Promise<string> {
  const env = { PATH: process.env["PATH"] ?? "", HOME: app, CI: "true", PORT: "not-a-port" };
  const child = Bun.spawn([...cmd], { cwd, env, stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  if ((await child.exited) !== 0) throw new Error(`${cmd.join(" ")}: ${out}${err}`);
  return out + err;
}

test.skipIf(node.missing)("the example for node --test passes", async () => {
  await Bun.write(join(app, "node.test.js"), await example("node:test"));
  expect(await run([node.path, "--test", "node.test.js"])).toMatch(/pass 1\b/);
});

test.skipIf(node.missing)("the example for Vitest passes", async () => {
  await Bun.write(join(app, "vitest.test.js"), await example("vitest"));
  const vitest = join(app, "node_modules/vitest/vitest.mjs");
  expect(await run([node.path, vitest, "run", "vitest.test.js"])).toContain("1 passed");
});

test.skipIf(node.missing || noBrowser)("the example for Playwright passes", async () => {
  await Bun.write(join(app, "two.spec.js"), await example("@playwright/test"));
  const args = ["--no-sandbox", "--disable-features=WebRtcHideLocalIpsWithMdns"];
  const launchOptions = { executablePath: chromiumProgram.path, args };
  const config = {
    ...{ use: { launchOptions }, testMatch: "*.spec.js", outputDir: "results" },
    // Machines that run all tests at once are slow.
    ...{ timeout: 60_000, expect: { timeout: 30_000 } },
  };
  await Bun.write(join(app, "playwright.config.js"), `export default ${JSON.stringify(config)};`);
  const playwright = join(app, "node_modules/@playwright/test/cli.js");
  expect(await run([node.path, playwright, "test"])).toContain("1 passed");
});

test.skipIf(node.missing)("the server ends with whoever started it, also by SIGKILL", async () => {
  const started = "const { url } = await start();\nconsole.log(url);\n";
  const source = `import { start } from "nt-signal/test";\n${started}`;
  for (const [file, rest] of [
    ["killed.js", "setInterval(() => {}, 1000);"],
    ["ends.js", ""],
  ] as const) {
    await Bun.write(join(app, file), source + rest);
    const child = Bun.spawn([node.path, file], { cwd: app, stdout: "pipe", stderr: "inherit" });
    const { value } = await child.stdout.getReader().read();
    const url = Buffer.from(value ?? [])
      .toString()
      .trim();
    if (rest !== "") {
      expect((await fetch(`${url}/healthz`)).status).toBe(200);
      child.kill("SIGKILL");
    }
    await within("the starter to end", child.exited);
    await until("the server to be gone", async () => {
      return fetch(`${url}/healthz`).then(
        () => undefined,
        () => true,
      );
    });
  }
});

test.skipIf(node.missing)("it takes settings, stops, and says why it does not start", async () => {
  const source = `import { start } from "nt-signal/test";
    const { url, stop } = await start({ env: { BASE_PATH: "/signal" } });
    console.log(url, (await fetch(url + "/rendezvous/whoami")).status);
    await Promise.all([stop(), stop()]);
    await fetch(url).catch(() => console.log("gone"));
    await start({ env: { PORT: "far" } }).catch(({ message }) => console.log(message));\n`;
  await Bun.write(join(app, "settings.js"), source);
  const output = await run([node.path, "settings.js"]);
  expect(output).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/signal 200\ngone\nnt-signal did not start/);
  expect(output).toContain('PORT="far"');
});

test.skipIf(node.missing)(
  "it needs no install script of Bun, as npm 12 and pnpm run none",
  async () => {
    await using other = await temporaryFolder();
    const packages = other.at("node_modules");
    await cp(join(app, "node_modules/nt-signal"), join(packages, "nt-signal"), {
      recursive: true,
    });
    for (const name of await readdir(join(project, "node_modules/@oven"))) {
      const program = join(packages, "@oven", name, "bin/bun");
      await Bun.write(join(packages, "@oven", name, "package.json"), "{}");
      await mkdir(dirname(program));
      await symlink(process.execPath, program);
    }
    const bun = Bun.file(join(project, "node_modules/bun/package.json"));
    await Bun.write(join(packages, "bun/package.json"), bun);
    await Bun.write(join(packages, "bun/bin/bun.exe"), "Bun's postinstall script was not run");
    const source = `import { start } from "nt-signal/test";\nawait (await start()).stop();\n`;
    await Bun.write(other.at("started.mjs"), source);
    await run([node.path, "started.mjs"], other.path);
    const version = await run(
      [node.path, join(packages, "nt-signal/nt-signal.mjs"), "version"],
      other.path,
    );
    expect(version).toMatch(/^\d+\.\d+\.\d+/);
  },
);

test("its types hold for Node and for bundlers", async () => {
  const source = `import { start, type TestServer } from "nt-signal/test";
    export const url: Promise<string> = start({ env: { ROOM_TTL: "1s" } }).then((s: TestServer) => s.url);\n`;
  await Bun.write(join(app, "types.ts"), source);
  for (const module of ["nodenext", "preserve"]) {
    const flags = ["--noEmit", "--strict", "--target", "es2022", "--types", "", "--module", module];
    await run([join(project, "node_modules/.bin/tsc"), ...flags, "types.ts"]);
  }
});
