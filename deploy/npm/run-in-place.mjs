import { spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** How often it checks that npm is still there. */
const lookEveryMs = 250;

/**
 * Runs a program in place of this process: in its terminal, with its signals and its exit code. It ends when
 * npm or npx is killed. With `endsWithMe` it also notices when this process is killed by a signal that cannot
 * be passed on: it gets an IPC channel, which closes then.
 */
export function runInPlace(program, args, { endsWithMe, onError }) {
  const streams = ["inherit", "inherit", "inherit", ...(endsWithMe ? ["ipc"] : [])];
  const child = spawn(program, args, { stdio: streams });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    // A terminal sends Ctrl+C to both by itself, and a second one would end a server at once.
    process.on(signal, () => (signal === "SIGINT" && process.stdin.isTTY) || child.kill(signal));
  }
  // The shell between npm and this process does not pass signals on, and SIGKILL cannot be passed on.
  if (process.env.npm_execpath !== undefined) endWithNpm(child);
  child.on("error", ({ message }) => {
    process.stderr.write(`Bun cannot be started (${message}). ${onError}\n`);
    process.exit(1);
  });
  child.on("exit", (code) => process.exit(code ?? 1));
}

function endWithNpm(child) {
  const parent = process.ppid;
  const above = look(parent);
  const npm = isNpm(above) ? parent : isNpm(look(above?.parent)) ? above.parent : undefined;
  const timer = setInterval(() => {
    // Orphans get another parent, except on Windows.
    if (process.ppid === parent && isRunning(npm ?? parent)) return;
    clearInterval(timer);
    // On Windows a signal leaves a program no time to end in order.
    if (child.connected) child.disconnect();
    else child.kill("SIGTERM");
  }, lookEveryMs);
}

function isNpm(found) {
  return /^np[mx] |\bnp[mx]-cli\.js/.test(found?.command ?? "");
}

/** A process's parent and command line; undefined if the system does not show them. */
function look(pid) {
  try {
    if (process.platform !== "linux") {
      const { stdout } = spawnSync("ps", ["-o", "ppid=,args=", "-p", pid], { encoding: "utf8" });
      const [, parent, command] = /^ *(\d+) (.*)/.exec(stdout);
      return { parent: Number(parent), command };
    }
    const [parent] = readFileSync(`/proc/${pid}/stat`, "utf8").match(/(?<=\) \S )\d+(?!.*\))/);
    return { parent: Number(parent), command: readFileSync(`/proc/${pid}/cmdline`, "utf8") };
  } catch {
    return undefined;
  }
}

function isRunning(pid) {
  try {
    return process.kill(pid, 0);
  } catch ({ code }) {
    return code !== "ESRCH";
  }
}
