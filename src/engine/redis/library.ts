import libraryText from "./inside/library.lua" with { type: "text" };
import rulesText from "./rules.generated.lua" with { type: "text" };

const body = `local function setUp(require, ...)\n${rulesText}\nend\n${libraryText}`;
/** What the names of the libraries of all builds begin with. */
export const libraryFamily = "nt_signal_";
const name = `${libraryFamily}${new Bun.CryptoHasher("sha1").update(body).digest("hex").slice(0, 16)}`;

/**
 * What runs inside of Redis, as a library of functions: the rules of a room and of codes. It has the name
 * of its function, which is another one for another text: nodes of two builds call their own.
 */
export const library = {
  name,
  /** What `FUNCTION` is given: to load it again changes nothing, and takes Redis 3 ms. */
  load: ["LOAD", "REPLACE", `#!lua name=${name}\nlocal libraryName = "${name}"\n${body}`],
} as const;
