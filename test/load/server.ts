import { join } from "node:path";
import { type Subject, startSubject } from "../bench/subject.ts";

const main = join(import.meta.dir, "../../src/main.ts");

/** The server from its sources, in a process of its own, with limits that nobody reaches. */
export function startServer(
  env: Readonly<Record<string, string>> = {},
  openFiles?: number,
): Promise<Subject> {
  const command = [process.execPath, main];
  if (openFiles === undefined) return startSubject({ command, env });
  const limited = ["sh", "-c", `ulimit -n ${openFiles} && exec "$0" "$@"`, ...command];
  return startSubject({ command: limited, env });
}
