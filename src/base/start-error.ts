/**
 * Why the server cannot start, when the operator can put it right. The message names the problem
 * and the remedy on one line, and is all that is shown: no stack.
 */
export class StartError extends Error {
  override readonly name = "StartError";
}
