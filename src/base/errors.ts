/**
 * Why the server cannot start, when the operator can fix it. Only the message is shown, without a
 * stack: the problem and the remedy.
 */
export class StartError extends Error {
  override readonly name = "StartError";
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** For the log: with the stack if there is one, which may lack the message (`AbortSignal.timeout`). */
export function stackOf(error: unknown): string {
  const { stack = "" } = error instanceof Error ? error : {};
  return stack !== "" && stack.includes(messageOf(error))
    ? stack
    : `${String(error)}\n${stack}`.trim();
}

/** The code of a system or runtime error, such as `ENOENT`; empty if it has no code. */
export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}
