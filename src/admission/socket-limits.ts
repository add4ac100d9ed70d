import { closeSync, openSync, readFileSync } from "node:fs";
import { codeOf } from "../base/errors.ts";
import { Ledger } from "../base/ledger.ts";

/** No share is smaller: one client may be both sides of a room. */
const leastShare = 2;

/** Sockets, at most `max`. `perClient`: of one client; 0: no limit, and no share of all either. */
export function socketLedger(max: number, perClient: number): Ledger {
  if (perClient === 0) return new Ledger(max, Number.POSITIVE_INFINITY);
  return new Ledger(max, leastShare, perClient);
}

/** Assumed if the system does not report its limit. Most systems allow this many after Bun has raised it. */
const unknownLimit = 10_240;
/** The share of descriptors left for files, HTTP and the system. Without descriptors Bun would spin. */
const headroom = 0.05;
/** With fewer descriptors, one address could take all: no limit counts connections that send nothing. */
const fewDescriptors = 65_536;

/** How many sockets this process can hold without running out of descriptors. */
export function socketsWithinOpenFiles(): number {
  return Math.floor((openFileLimit() ?? unknownLimit) * (1 - headroom));
}

/** The warning for an operator whose system allows the process few descriptors. */
export function fewOpenFiles(): string | undefined {
  const limit = openFileLimit();
  if (limit === undefined || limit >= fewDescriptors) return undefined;
  return (
    `This process may open ${limit} files. Connections that send no request are closed after 12 s ` +
    `and are in no other limit: one address can take all that are left. Allow ${fewDescriptors} ` +
    "(LimitNOFILE=, --ulimit nofile=, ulimit -Hn), or put a proxy that limits connections in front."
  );
}

/**
 * Returns a function that checks whether half of the descriptors that are not for sockets are in use. The
 * system gives the lowest free number to a new descriptor.
 */
export function descriptorShortage(): () => boolean {
  // Read now: during a shortage no file can be opened.
  const limit = openFileLimit() ?? Number.POSITIVE_INFINITY;
  return () => {
    try {
      const descriptor = openSync("/dev/null", "r");
      closeSync(descriptor);
      return descriptor >= limit * (1 - headroom / 2);
    } catch (error) {
      return codeOf(error) === "EMFILE";
    }
  };
}

/** Undefined if the system does not report it. Bun raises the soft limit to the hard one at its start. */
function openFileLimit(): number | undefined {
  try {
    const limits = readFileSync("/proc/self/limits", "utf8");
    const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}
