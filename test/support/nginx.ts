import { mkdtemp, rm } from "node:fs/promises";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { selfSigned } from "./certificate.ts";
import { freePort, requireProgram } from "./program.ts";
import { until } from "./waiting.ts";

export interface Nginx extends AsyncDisposable {
  /** Its address without TLS. */
  readonly http: string;
  /** Its address, over TLS. */
  readonly https: string;
  readonly wss: string;
}

const program = requireProgram("nginx");
export const nginxMissing = program.missing;

const hasIpv6 = Object.values(networkInterfaces()).some((addresses) =>
  addresses?.some(({ address }) => address === "::1"),
);

const example = join(import.meta.dir, "../../deploy/nginx.conf");

/**
 * Debian's nginx with the example that we ship, in front of a server at `upstreamPort`. `changes`
 * are made to the example, as its reader would: each text must stand in it.
 */
export async function startNginx(
  upstreamPort: number,
  changes: Readonly<Record<string, string>> = {},
): Promise<Nginx> {
  const folder = await mkdtemp(join(tmpdir(), "nt-signal-nginx-"));
  const certificate = await selfSigned();
  const [port, plainPort] = [await freePort(), await freePort()];
  const site = edited(await Bun.file(example).text(), {
    "127.0.0.1:1234": `127.0.0.1:${upstreamPort}`,
    "listen 80": `listen 127.0.0.1:${plainPort}`,
    "listen 443 ssl": `listen 127.0.0.1:${port} ssl`,
    "listen [::]:80;": hasIpv6 ? `listen [::1]:${plainPort};` : "",
    "listen [::]:443 ssl;": hasIpv6 ? `listen [::1]:${port} ssl;` : "",
    "/etc/letsencrypt/live/signal.example.com/fullchain.pem": certificate.certFile,
    "/etc/letsencrypt/live/signal.example.com/privkey.pem": certificate.keyFile,
    ...changes,
  });
  const places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  await Bun.write(
    join(folder, "nginx.conf"),
    `daemon off; pid ${folder}/pid; error_log stderr warn; worker_processes 1;
     events { worker_connections 256; }
     http {
       access_log off;
       ${places.map((place) => `${place}_temp_path ${folder}/${place};`).join(" ")}
       ${site}
     }`,
  );
  const child = Bun.spawn([program.path, "-p", folder, "-c", join(folder, "nginx.conf")], {
    stdout: "ignore",
    stderr: "pipe",
  });
  const complaints = child.stderr.text();
  const dispose = async () => {
    child.kill("SIGTERM");
    await child.exited;
    await certificate[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await until("nginx to listen", async () => {
      if (child.exitCode !== null) throw new Error(`nginx ended: ${await complaints}`);
      return accepts(port);
    });
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    http: `http://127.0.0.1:${plainPort}`,
    https: `https://127.0.0.1:${port}`,
    wss: `wss://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: dispose,
  };
}

/** Whether something listens on this port of 127.0.0.1. */
async function accepts(port: number): Promise<boolean> {
  try {
    const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
    socket.terminate();
    return true;
  } catch {
    return false;
  }
}

function edited(text: string, changes: Readonly<Record<string, string>>): string {
  let result = text;
  for (const [from, to] of Object.entries(changes)) {
    if (!result.includes(from)) throw new Error(`deploy/nginx.conf has no "${from}" any more`);
    result = result.replaceAll(from, to);
  }
  return result;
}
