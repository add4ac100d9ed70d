import { z } from "zod";
import type { Format } from "./formats.ts";

const urlAllowed =
  "redis://[[user]:password@]host[:port], or rediss:// for TLS; special characters of a password " +
  "written as %40";

/** Empty: no Redis. The value is not in any message: a password may stand in it. */
export const redisUrl: Format<string> = z
  .string()
  .transform((text, context) => {
    const fault = text === "" ? undefined : faultOf(text);
    if (fault === undefined) return text;
    context.issues.push({ code: "custom", message: `${urlAllowed}; ${fault}`, input: "" });
    return z.NEVER;
  })
  .describe(urlAllowed);

/** Says nothing of the URL but where it is wrong. */
function faultOf(text: string): string | undefined {
  if (!/^rediss?:\/\//.test(text)) return "it does not begin with redis:// or rediss://";
  const url = URL.parse(text);
  if (url === null || url.hostname === "") {
    return "it names no host, or a password has a character that must be written as %40";
  }
  if (!["", "/"].includes(url.pathname)) return "a path or number of a database follows the port";
  return undefined;
}

const prefixAllowed = "1 to 32 letters, digits and . _ : - only";

/** What the names of keys and channels begin with. Braces would be hash tags. */
export const redisPrefix: Format<string> = z
  .string()
  .transform((text, context) => {
    if (/^[\w.:-]{1,32}$/.test(text)) return text;
    context.issues.push({ code: "custom", message: prefixAllowed, input: text });
    return z.NEVER;
  })
  .describe(prefixAllowed);
