import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { StartError } from "../base/start-error.ts";

/** Bun's error for a name that does not resolve can be any; asked first, it is plain. */
export async function checkHost(host: string): Promise<void> {
  if (isIP(host) !== 0) return;
  try {
    await lookup(host);
  } catch {
    throw new StartError(
      `HOST="${host}" is no address of this machine and cannot be resolved. ` +
        "Use 0.0.0.0 for all of its addresses, or 127.0.0.1 for itself alone.",
    );
  }
}
