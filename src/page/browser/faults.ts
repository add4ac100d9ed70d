import { RendezvousError } from "../../client/client.ts";
import { span } from "./amounts.ts";

/** What went wrong with a code, in words for whoever typed it. */
export function faultInWords(error: unknown): string {
  if (!(error instanceof RendezvousError)) return "Something went wrong. Reload the page.";
  const when = error.retryAfterMs === undefined ? "later" : `in ${span(error.retryAfterMs)}`;
  switch (error.code) {
    case "code_gone":
      return "This code doesn’t work: it was never made, is used up or has expired. Ask for a new one.";
    case "code_withdrawn":
      return "Too many wrong codes were tried, so this one is not safe any more. Ask for a new one.";
    case "malformed":
      return "A code has 4 to 8 digits.";
    case "unreachable":
      return "The server cannot be reached. Look at your network, then try again.";
    case "rate_limited":
    case "too_many_misses":
    case "shared_misses":
      return `Too many tries from your address. Try again ${when}.`;
    default:
      return `${error.message} (${error.code})`;
  }
}
