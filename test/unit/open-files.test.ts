import { expect, test } from "bun:test";
import { join } from "node:path";
import { socketsWithinOpenFiles } from "../../src/admission/socket-limits.ts";

const source = join(import.meta.dir, "../../src/admission/socket-limits.ts");

/** What a process that may open so many files has to say. */
async function socketsWith(openFiles: number): Promise<number> {
  const script = `import { socketsWithinOpenFiles } from "${source}"; process.stdout.write(String(socketsWithinOpenFiles()))`;
  const command = `ulimit -Sn ${openFiles} && ulimit -Hn ${openFiles} && exec "$0" -e "$1"`;
  const shell = Bun.spawn(["sh", "-c", command, process.execPath, script], { stderr: "inherit" });
  return Number(await shell.stdout.text());
}

test("a twentieth of the open files is left for everything else", async () => {
  expect(await socketsWith(1_000)).toBe(950);
  expect(await socketsWith(256)).toBe(243);
});

test("here there is space for some", () => {
  const sockets = socketsWithinOpenFiles();
  expect(sockets).toBeInteger();
  expect(sockets).toBeGreaterThan(0);
});
