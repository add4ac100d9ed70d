import libraryText from "./inside/library.lua" with { type: "text" };
import rulesText from "./rules.generated.lua" with { type: "text" };

const body = `local function setUp(require, ...)\n${rulesText}\nend\n${libraryText}`;
/** The prefix of the library names of all builds. */
export const libraryFamily = "nt_signal_";
const name = `${libraryFamily}${new Bun.CryptoHasher("sha1").update(body).digest("hex").slice(0, 16)}`;

/**
 * The function library for Redis: the rules of rooms and codes. Its name contains a hash of its text, and is
 * also the name of its function. So nodes of two builds call different functions.
 */
export const library = {
  name,
  /** Arguments of `FUNCTION`. Loading it again changes nothing, and takes Redis 3 ms. */
  load: ["LOAD", "REPLACE", `#!lua name=${name}\nlocal libraryName = "${name}"\n${body}`],
} as const;
