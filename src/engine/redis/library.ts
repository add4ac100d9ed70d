import libraryText from "./inside/library.lua" with { type: "text" };
import rulesText from "./rules.generated.lua" with { type: "text" };

const body = `local function setUp(require, ...)\n${rulesText}\nend\n${libraryText}`;
/** The prefix of the library names of all builds. */
export const libraryFamily = "nt_signal_";

/**
 * The name of the function library for Redis, the rules of rooms and codes, and of its function. It contains
 * a hash of the text: nodes of two builds call different functions.
 */
export const libraryName = `${libraryFamily}${new Bun.CryptoHasher("sha1").update(body).digest("hex").slice(0, 16)}`;

/** Arguments of `FUNCTION`. Loading it again changes nothing, and takes Redis 3 ms. */
export const loadArguments = [
  "LOAD",
  "REPLACE",
  `#!lua name=${libraryName}\nlocal libraryName = "${libraryName}"\n${body}`,
] as const;
