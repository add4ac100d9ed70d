import { setDefaultTimeout } from "bun:test";

/**
 * Imported for this effect: a test outlives its helpers' patience, so that what fails is the helper
 * that can say what it waited for.
 */
setDefaultTimeout(20_000);
