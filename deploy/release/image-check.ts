/**
 * Builds the image of the Dockerfile, its build stage replaced by a binary that was built here, and
 * runs it as a container engine would: process 1 of its own namespace, uid 65532, no privileges to
 * be had, read-only root. Then what its users do, its health check, and SIGTERM.
 *
 *     bun deploy/release/image-check.ts [dist/nt-signal]
 *
 * Needs root, and buildah and util-linux; no image is pulled.
 */
import { chown, mkdir, mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { freePort } from "../../test/support/program.ts";
import { within } from "../../test/support/waiting.ts";
import { walkThrough } from "../../test/support/walk-through.ts";
import { report, run } from "../run.ts";

const project = join(import.meta.dir, "../..");
const binary = resolve(process.argv[2] ?? join(project, "dist/nt-signal"));
const user = 65532;
const startedAt = performance.now();
const folder = await mkdtemp(join(tmpdir(), "nt-signal-image-"));
/** Stands for a volume: an engine gives it the owner that the folder has in the image. */
const state = join(folder, "state");
const store = ["--root", join(folder, "root"), "--runroot", join(folder, "run")];
let mounted = false;

try {
  const stage = join(folder, "build");
  await run([join(project, "deploy/stage-image.sh"), binary, join(stage, "stage")]);
  const options = ["--format", "docker", "--build-context", `build=${stage}`, "--tag", "nt-signal"];
  await buildah("build", ...options, "--build-arg", "VERSION=0.0.0-check", project);
  report("image built", `after ${seconds()} s`);

  const { config } = JSON.parse(await buildah("inspect", "--type", "image", "nt-signal")).Docker;
  expectEqual("user", config.User, `${user}:${user}`);
  expectEqual("entry point", config.Entrypoint, ["/nt-signal"]);
  expectEqual("health check", config.Healthcheck.Test, ["CMD", "/nt-signal", "healthcheck"]);
  expectEqual("version", config.Labels["org.opencontainers.image.version"], "0.0.0-check");
  for (const label of ["title", "description", "licenses", "revision"]) {
    if (!config.Labels[`org.opencontainers.image.${label}`]) throw new Error(`No label ${label}`);
  }

  const container = (await buildah("from", "--pull-never", "nt-signal")).trim();
  const root = (await buildah("mount", container)).trim();
  mounted = true;
  await onlyWhatItNeeds(root);
  await mkdir(join(root, "proc"), { recursive: true });
  const { uid, gid, mode } = await stat(join(root, "var/lib/nt-signal"));
  expectEqual("owner of the state's folder", [uid, gid], [user, user]);
  await mkdir(state, { mode });
  await chown(state, uid, gid);
  await tryOut(root, config.Entrypoint, config.Healthcheck.Test.slice(1));
} finally {
  if (mounted) await buildah("umount", "--all");
  await rm(folder, { recursive: true, force: true });
}
report("image checked", `in ${seconds()} s`);

async function tryOut(
  root: string,
  entryPoint: readonly string[],
  healthCheck: readonly string[],
): Promise<void> {
  const port = await freePort();
  const env = { PORT: String(port), LOG_LEVEL: "warn", STATE_FILE: "/var/lib/nt-signal/state" };
  const health = async () => contained(root, healthCheck, env, "ignore").exited;
  if ((await health()) !== 1) throw new Error("It is well before it runs");

  const server = contained(root, entryPoint, env, "inherit");
  try {
    const first = async () => {
      while ((await health()) !== 0) {
        if (server.exitCode !== null || server.signalCode !== null) throw new Error("It ended");
      }
    };
    await within("the health check to pass", first());
    report("health check", "1 before the start, 0 after");
    const pid = await processOne(server.pid);
    const status = await Bun.file(`/proc/${pid}/status`).text();
    expectEqual("uid", /^Uid:\s+(\d+)/m.exec(status)?.[1], String(user));
    expectEqual("process id inside", /^NSpid:.*\s(\d+)$/m.exec(status)?.[1], "1");
    expectEqual("capabilities", /^CapEff:\s+0+$/m.test(status), true);
    expectEqual("no new privileges", /^NoNewPrivs:\s+1$/m.test(status), true);

    const pair = await walkThrough(`http://127.0.0.1:${port}`, report);
    process.kill(pid, "SIGTERM");
    expectEqual("exit code", await within("it to end", server.exited), 0);
    const saved = await Bun.file(join(state, "state")).exists();
    expectEqual("state saved", saved, true);
    report("SIGTERM", `exit 0, peers closed with ${(await pair.closed())[0]?.code}`);
  } finally {
    server.kill("SIGKILL");
  }
}

/** Runs a program of the image with nothing but the image around it. */
function contained(
  root: string,
  command: readonly string[],
  env: Record<string, string>,
  output: "inherit" | "ignore",
) {
  const script = [
    'mount --bind "$0" "$0"',
    `mount --bind ${state} "$0/var/lib/nt-signal"`,
    'mount -o remount,bind,ro "$0"',
    'mount -t proc proc "$0/proc"',
    `exec setpriv --no-new-privs unshare --root="$0" --wd=/ --setgid=${user} --setuid=${user} -- "$@"`,
  ].join(" && ");
  const namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"];
  const all = { PATH: process.env["PATH"] ?? "", ...env };
  const cmd = [...namespaces, "sh", "-c", script, root, ...command];
  return Bun.spawn(cmd, { env: all, stdin: "ignore", stdout: output, stderr: output });
}

/** The process that `unshare` started. */
async function processOne(unshare: number): Promise<number> {
  const children = await Bun.file(`/proc/${unshare}/task/${unshare}/children`).text();
  return Number(children.trim());
}

/** What came into the image by mistake would be shipped to everybody. */
async function onlyWhatItNeeds(root: string): Promise<void> {
  const found = await readdir(root, { recursive: true, withFileTypes: true });
  const files = found.filter((entry) => !entry.isDirectory()).map(({ name }) => name);
  const others = files.filter(
    (name) => !/^(nt-signal|ld-linux.*\.so\.\d|lib\w+\.so\.\d)$/.test(name),
  );
  expectEqual("other files", others, []);
  report("files", files.toSorted().join(" "));
}

async function buildah(...args: readonly string[]): Promise<string> {
  const env = { ...process.env, BUILDAH_ISOLATION: "chroot", STORAGE_DRIVER: "vfs" };
  return run(["buildah", ...store, ...args], { env });
}

function expectEqual(what: string, found: unknown, wanted: unknown): void {
  if (Bun.deepEquals(found, wanted)) return;
  throw new Error(`${what} is ${JSON.stringify(found)} and should be ${JSON.stringify(wanted)}`);
}

function seconds(): string {
  return ((performance.now() - startedAt) / 1_000).toFixed(1);
}
