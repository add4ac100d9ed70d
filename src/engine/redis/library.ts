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
  text: `#!lua name=${name}\nlocal libraryName = "${name}"\n${body}`,
} as const;

/** Loads the library, unless it is there: to replace it would take from other nodes what it has learned. */
export async function loadLibrary(
  ask: (command: string, ...args: string[]) => Promise<unknown>,
): Promise<void> {
  await ask("FUNCTION", "LOAD", library.text).catch((error: unknown) => {
    if (!(error instanceof Error && error.message.includes("already exists"))) throw error;
  });
}
