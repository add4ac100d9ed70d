import { readFileSync } from "node:fs";

// What Linux tells of a process in /proc (proc(5)).

/** Clock ticks a second, as every Linux of today has them. */
const ticksPerSecond = 100;

/** CPU time that it took so far with all its threads, in its own code and in the kernel's, s. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The name, in parentheses, may hold spaces.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

/** Bytes of its memory that are in RAM. */
export function rssBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) * 1_024;
}
