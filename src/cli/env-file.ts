import { parseArgs } from "node:util";
import type { Env } from "../config/config.ts";

/**
 * The environment with the variables of `--env-file FILE` in it, and the arguments without it. A
 * variable of the environment itself wins, as with Docker Compose and Node.
 */
export async function withEnvFile(
  argv: readonly string[],
  env: Env,
): Promise<
  | { readonly env: Env; readonly args: readonly string[] }
  /** Why it cannot be read, in a sentence for the operator. */
  | { readonly fault: string }
> {
  const options = { "env-file": { type: "string" } } as const;
  const { tokens } = parseArgs({ args: [...argv], options, strict: false, tokens: true });
  const given = tokens.find((token) => token.kind === "option" && token.name === "env-file");
  if (given?.kind !== "option") return { env, args: argv };
  const path = given.value;
  if (path === undefined || path === "" || path.startsWith("--")) {
    return { fault: "--env-file needs the path of a file with a VARIABLE=value a line." };
  }
  const args = argv.toSpliced(given.index, given.inlineValue ? 1 : 2);
  const bytes = await Bun.file(path)
    .bytes()
    .catch(() => undefined);
  if (bytes === undefined) {
    return { fault: `--env-file ${path} cannot be read. Check path and mode.` };
  }
  // PowerShell writes UTF-16. The decoder drops a byte order mark.
  const isUtf16 = bytes[0] === 0xff && bytes[1] === 0xfe;
  const text = new TextDecoder(isUtf16 ? "utf-16le" : "utf-8").decode(bytes);
  const variables = parseEnvFile(text);
  if (typeof variables === "number") {
    return { fault: `Line ${variables} of --env-file ${path} is not VARIABLE=value.` };
  }
  const own = Object.entries(env).filter(([, value]) => value !== undefined && value !== "");
  return { env: { ...variables, ...Object.fromEntries(own) }, args };
}

/**
 * What systemd's EnvironmentFile, Docker and dotenv agree on: one `VARIABLE=value` a line. Quotes around
 * the whole value and `export` before the name are removed, lines that begin with `#` or `;` skipped.
 * (`parseEnv` of node:util would cut a secret at its first `#`.) Answers the number of the first line
 * that cannot be read.
 */
function parseEnvFile(text: string): Readonly<Record<string, string>> | number {
  const variables: Record<string, string> = {};
  for (const [index, line] of text.split(/\r\n?|\n/).entries()) {
    if (/^\s*(?:[#;].*)?$/.test(line)) continue;
    const [, name, value = ""] = /^\s*(?:export\s+)?([A-Za-z_]\w*)=(.*)$/.exec(line) ?? [];
    if (name === undefined) return index + 1;
    variables[name] = value.trim().replace(/^(["'])(.*)\1$/, "$2");
  }
  return variables;
}
