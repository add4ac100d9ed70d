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

test("a start with few open files is warned of, and told what to allow", async () => {
  const main = join(import.meta.dir, "../../src/main.ts");
  const command = 'ulimit -n "$2" && exec "$0" "$1" --port 0 --host 127.0.0.1';
  const saysAtStart = async (openFiles: number) => {
    const args = ["sh", "-c", command, process.execPath, main, String(openFiles)];
    const program = Bun.spawn(args, {
      env: { ...process.env, LOG_FORMAT: "json" },
      stdout: "pipe",
    });
    let said = "";
    for await (const chunk of program.stdout) {
      said += new TextDecoder().decode(chunk);
      if (said.includes('"listening"')) break;
    }
    program.kill();
    await program.exited;
    return said;
  };
  expect(await saysAtStart(1_000)).toContain("may open 1000 files");
});

test("here there is space for some", () => {
  const sockets = socketsWithinOpenFiles();
  expect(sockets).toBeInteger();
  expect(sockets).toBeGreaterThan(0);
});
