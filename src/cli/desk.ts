import { rename } from "node:fs/promises";
import { homedir, hostname, networkInterfaces } from "node:os";
import { join } from "node:path";
import { messageOf, StartError } from "../base/errors.ts";
import { isAnyAddress, lanAddresses, withoutBrackets } from "../base/network.ts";
import type { Env } from "../config/config.ts";
import type { Log } from "../telemetry/log.ts";

// Makes a server on a developer's machine easy to reach: from other programs, and from a phone.

/** The file appears with the port in it, never empty. Throws `StartError` when it cannot be written. */
export async function writePortFile(path: string, port: number): Promise<void> {
  try {
    await Bun.write(`${path}.${process.pid}`, `${port}\n`);
    await rename(`${path}.${process.pid}`, path);
  } catch (error) {
    throw new StartError(
      `PORT_FILE=${JSON.stringify(path)} cannot be written (${messageOf(error)}). ` +
        "Name a file in a folder that this user may write to.",
    );
  }
}

/** Host names and addresses under which a server on `host` is reached. */
export function ownNames(host: string): readonly string[] {
  const own = hostname().toLowerCase();
  const machine = own.includes(".") ? [own] : [own, `${own}.local`];
  return [
    ...["localhost", "127.0.0.1", "::1"],
    ...(/^[\w.-]+$/.test(own) ? machine : []),
    ...(isAnyAddress(host) ? lanAddresses(host, networkInterfaces()) : [withoutBrackets(host)]),
  ];
}

/** The user's cache folder on this system. */
export function cacheFolder(env: Env): string {
  const given = env["XDG_CACHE_HOME"] ?? "";
  const home = env["HOME"] || homedir();
  if (given !== "") return join(given, "nt-signal");
  if (process.platform === "darwin") return join(home, "Library/Caches/nt-signal");
  if (process.platform === "win32") {
    return join(env["LOCALAPPDATA"] ?? join(home, "AppData/Local"), "nt-signal");
  }
  return join(home, ".cache/nt-signal");
}

/** Opens the page in the browser, or logs why that is not possible. */
export async function openPage(url: string, log: Log): Promise<void> {
  const openers: Readonly<Record<string, readonly string[]>> = {
    darwin: ["open"],
    win32: ["rundll32", "url.dll,FileProtocolHandler"],
  };
  const opener = openers[process.platform] ?? ["xdg-open"];
  try {
    const child = Bun.spawn([...opener, url], { stdio: ["ignore", "ignore", "ignore"] });
    child.unref();
    if ((await child.exited) !== 0) throw new Error(`${opener[0]} failed`);
  } catch (error) {
    log.warn("the page cannot be opened", { url, reason: messageOf(error) });
  }
}

/**
 * A QR code (ISO/IEC 18004), two rows of it in one line. It is black on white in every terminal, because
 * some phones cannot read inverted codes.
 */
export async function qrLines(text: string): Promise<readonly string[]> {
  const { generate } = await import("lean-qr");
  const code = generate(text);
  const quiet = 2;
  const rows: string[] = [];
  for (let y = -quiet; y < code.size + quiet; y += 2) {
    let row = "";
    for (let x = -quiet; x < code.size + quiet; x++) {
      row += " ▀▄█"[(code.get(x, y) ? 1 : 0) + (code.get(x, y + 1) ? 2 : 0)];
    }
    rows.push(`  \x1b[30;107m${row}\x1b[0m`);
  }
  return rows;
}
