import type { Subprocess } from "bun";

const alive = new Set<Subprocess>();
let watching = false;

/** Whoever ends this process by a signal ends what it has started. */
export function endsWithUs<T extends Subprocess>(child: T): T {
  alive.add(child);
  void child.exited.then(() => alive.delete(child));
  if (!watching) {
    watching = true;
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, endAll);
  }
  return child;
}

function endAll(): never {
  for (const child of alive) child.kill("SIGKILL");
  process.exit(130);
}
