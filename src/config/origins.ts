import { z } from "zod";
import type { Format } from "./formats.ts";

const allowed =
  "a comma-separated list of origins (https://app.example.com), host names (app.example.com), " +
  "wildcards (*.example.com), or * for all";

/**
 * The list of web origins that may connect, in lower case and as browsers write them: `scheme://host`
 * with a port only where it isn't the scheme's own, `host`, `*.host`, or `*`. Blank entries are
 * skipped, but at least one is no blank.
 */
export const origins: Format<readonly string[]> = z
  .string()
  .transform((text, context) => {
    if (text === "") return [];
    const entries = text.split(",").map((entry) => entry.trim());
    const named = entries.filter((entry) => entry !== "");
    const parsed = named.map((entry) => parseEntry(entry.toLowerCase()));
    const wrong = named.filter((_, index) => parsed[index] === undefined);
    if (named.length === 0 || wrong.length > 0) {
      const rest = wrong.length > 0 ? `; not so ${wrong.map(quote).join(", ")}` : "";
      context.issues.push({ code: "custom", message: allowed + rest, input: text });
    }
    return parsed.filter((entry) => entry !== undefined);
  })
  .readonly()
  .describe(allowed);

const names = "a comma-separated list of host names (signal.example.com), without scheme and port";

/** Host names in lower case, as browsers write them. */
export const hostNames: Format<readonly string[]> = z
  .string()
  .transform((text, context) => {
    const named = text.split(",").filter((entry) => entry.trim() !== "");
    const parsed = named.map((entry) => parseHost(entry.trim().toLowerCase()));
    const known = parsed.filter((entry) => entry !== undefined);
    if (known.length < named.length || (named.length === 0 && text !== "")) {
      context.issues.push({ code: "custom", message: names, input: text });
    }
    return known;
  })
  .readonly()
  .describe(names);

function quote(entry: string): string {
  return JSON.stringify(entry);
}

function parseEntry(entry: string): string | undefined {
  if (entry === "*") return entry;
  if (entry.startsWith("*.")) {
    const host = parseHost(entry.slice(2));
    return host === undefined ? undefined : `*.${host}`;
  }
  return entry.includes("://") ? parseOrigin(entry) : parseHost(entry);
}

/** A slash at the end is forgiven; anything more of a path, a query or a user name is not. */
function parseOrigin(entry: string): string | undefined {
  const [, scheme, authority] = /^([a-z][a-z0-9+.-]*):\/\/([^/?#@*\s\\]+)\/?$/.exec(entry) ?? [];
  if (scheme === undefined || authority === undefined) return undefined;
  if (!URL.canParse(entry)) return undefined;
  const { host } = new URL(entry);
  return host === "" ? undefined : `${scheme}://${host}`;
}

/** Undefined for a host with a port: that is meant for one scheme, which has to be named. */
function parseHost(text: string): string | undefined {
  if (!/^(?:[^/?#@*:\s\\[\]]+|\[[0-9a-f:.]+\])$/.test(text)) return undefined;
  return URL.canParse(`http://${text}`) ? new URL(`http://${text}`).hostname : undefined;
}
