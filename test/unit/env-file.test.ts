import { expect, test } from "bun:test";
import { withEnvFile } from "../../src/cli/env-file.ts";
import { temporaryFolder } from "../support/folder.ts";
import { Program } from "../support/program.ts";

/** A file with this text, for as long as a test takes. */
async function fileOf(text: string): Promise<{ readonly path: string } & AsyncDisposable> {
  const folder = await temporaryFolder();
  const path = folder.at("nt-signal.env");
  await Bun.write(path, text);
  return { ...folder, path };
}

test("variables come from the file, and what the environment says wins", async () => {
  await using file = await fileOf(
    '# for systemd\n; too\n\nPORT=9000\nexport DEV="false"\nROOM_TTL = \n'.replace(" = ", "="),
  );
  const env = { PORT: "", DEV: "true", LOG_LEVEL: "warn" };
  for (const args of [
    ["--env-file", file.path, "config", "--no-demo"],
    ["config", `--env-file=${file.path}`, "--no-demo"],
  ]) {
    expect(await withEnvFile(args, env)).toEqual({
      args: ["config", "--no-demo"],
      env: { PORT: "9000", DEV: "true", ROOM_TTL: "", LOG_LEVEL: "warn" },
    });
  }
});

test.each([
  ["ended as on Windows", Buffer.from('# one\r\nPORT=9000\r\n\r\nexport DEV="false"\r\n')],
  ["marked as UTF-8", Buffer.from("\ufeffPORT=9000\r\nDEV=false")],
  [
    "in UTF-16, as PowerShell writes them",
    Buffer.from("\ufeffPORT=9000\r\nDEV=false\r\n", "utf16le"),
  ],
])("lines may be %s", async (_, bytes) => {
  await using file = await fileOf("");
  await Bun.write(file.path, bytes);
  const read = await withEnvFile(["--env-file", file.path], {});
  expect(read).toMatchObject({ env: { PORT: "9000", DEV: "false" } });
});

test.each([
  [["--env-file"], "needs the path of a file"],
  [["--env-file", "--port"], "needs the path of a file"],
  [["--env-file", "/no/such/file"], "/no/such/file cannot be read"],
])("%p is refused: %s", async (args, fault) => {
  expect(await withEnvFile(args, {})).toEqual({ fault: expect.stringContaining(fault) });
});

test("a line that is no variable is named by its number and not shown", async () => {
  await using file = await fileOf("PORT=1\nTURN_SECRET hush\n");
  const { fault } = (await withEnvFile(["--env-file", file.path], {})) as { fault: string };
  expect(fault).toContain("Line 2");
  expect(fault).not.toContain("hush");
});

test("every command takes it", async () => {
  await using file = await fileOf("ROOM_TTL=7m\n");
  await using config = await Program.start({}, "config", "--env-file", file.path);
  expect(await config.exit()).toBe(0);
  expect(config.stdout).toMatch(/^ROOM_TTL +7m +environment ROOM_TTL$/m);
  await using wrong = await Program.start({}, "healthcheck", "--env-file=/no/such/file");
  expect(await wrong.exit()).toBe(2);
});
