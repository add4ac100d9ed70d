import { spawn } from "node:child_process";
import { bun, serverArgs } from "./server.mjs";

/** A free port of this machine only, no limits that a test could reach, and no output but errors. */
const settings = {
  ...{ HOST: "127.0.0.1", PORT: "0", LOG_LEVEL: "error", LOG_FORMAT: "json" },
  ...{ CODES_PER_CLIENT: "0", REDEEM_FAILURES: "0", SOCKETS_PER_CLIENT: "0", FRAMES_PER_SEC: "0" },
};
/** What a program needs of its environment. Settings in it must not change a test. */
const kept = ["PATH", "SystemRoot", "TEMP", "TMPDIR"];

/** See testing.d.mts. */
export async function start({ env = {} } = {}) {
  const own = kept.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : []));
  const child = spawn(bun, serverArgs, {
    env: { ...Object.fromEntries(own), ...settings, ...env },
    // The server ends when the channel closes, and so with this process, however that ends.
    stdio: ["ignore", "pipe", "inherit", "ipc"],
  });
  const exited = new Promise((resolve) => {
    child.once("exit", () => resolve("see above"));
    child.once("error", ({ message }) => resolve(message));
  });
  const { url, why } = await Promise.race([
    listening(child.stdout).then((url) => ({ url })),
    exited.then((why) => ({ why })),
  ]);
  if (url === undefined) throw new Error(`nt-signal did not start: ${why}`);
  // A process that has nothing else to do may end without stopping the server first.
  for (const handle of [child, child.channel, child.stdout]) handle?.unref?.();
  return {
    url,
    async stop() {
      child.ref();
      if (child.connected) child.disconnect();
      await exited;
    },
  };
}

/** The address in the line that has it. All other lines are errors, and shown. */
function listening(output) {
  return new Promise((resolve) => {
    let text = "";
    output.setEncoding("utf8").on("data", (chunk) => {
      const lines = (text + chunk).split("\n");
      text = lines.pop();
      for (const line of lines) {
        const { msg, url } = JSON.parse(line);
        if (msg === "listening") resolve(url.replace(/\/$/, ""));
        else process.stderr.write(`nt-signal: ${line}\n`);
      }
    });
  });
}
