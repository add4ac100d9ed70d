import type { Log } from "../telemetry/log.ts";
import type { Guessing } from "./rendezvous.ts";

/**
 * Looks at the guesses each time it is called. Warns once when an attack shows, once more each time
 * that it has new codes grow, and once when it is over. Codes are never told.
 */
export function guessWatch(guessing: () => Guessing, log: Pick<Log, "warn">): () => void {
  /** The most digits that were told of; 0 while no attack shows. */
  let told = 0;
  return () => {
    const { shows, digits, recentMisses } = guessing();
    if (shows && digits > told) {
      log.warn("codes are being guessed", { misses: recentMisses, newCodeDigits: digits });
      told = digits;
    } else if (!shows && told > 0) {
      log.warn("codes are not being guessed any more", {
        misses: recentMisses,
        newCodeDigits: digits,
      });
      told = 0;
    }
  };
}
