import { readFileSync } from "node:fs";

/** Where the system doesn't tell: what most of them allow at least once Bun has raised it. */
const unknownLimit = 10_240;
/** What is left for files, HTTP and the system: when descriptors run out, Bun spins. */
const headroom = 0.05;

/** How many sockets this process can hold without running out of descriptors. */
export function socketsWithinOpenFiles(): number {
  return Math.floor(openFileLimit() * (1 - headroom));
}

function openFileLimit(): number {
  try {
    const limits = readFileSync("/proc/self/limits", "utf8");
    const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
    return soft === undefined ? unknownLimit : Number(soft);
  } catch {
    return unknownLimit;
  }
}
