/**
 * Why the server cannot start, when the operator can put it right. The message names the problem
 * and the remedy on one line, and is all that is shown: no stack.
 */
export class StartError extends Error {
  override readonly name = "StartError";
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The code of a system or runtime error, such as `ENOENT`; empty where it has none. */
export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}
