import { z } from "zod";
import type { Format } from "./formats.ts";

const urlAllowed =
  "redis://[[user]:password@]host[:port], or rediss:// for TLS; special characters of a password " +
  "written as %40";

/** Empty: no Redis. The value is not in any message: a password may stand in it. */
export const redisUrl: Format<string> = z
  .string()
  .transform((text, context) => {
    if (text === "" || isRedisUrl(text)) return text;
    context.issues.push({ code: "custom", message: urlAllowed, input: "" });
    return z.NEVER;
  })
  .describe(urlAllowed);

function isRedisUrl(text: string): boolean {
  const url = URL.parse(text);
  if (url === null || url.hostname === "" || !["", "/"].includes(url.pathname)) return false;
  return url.protocol === "redis:" || url.protocol === "rediss:";
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
