import { z } from "zod";
import type { Format } from "./formats.ts";

const urlAllowed =
  "redis://[[user]:password@]host[:port][/database], or rediss:// for TLS; special characters of a " +
  "password written as %40";

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
  if (!/^(\/\d{0,5})?$/.test(url.pathname)) {
    return "what follows the port is no number of a database";
  }
  return undefined;
}

const hostsAllowed = "a comma-separated list of host[:port]";

/** `host:port` of each; the port is 26379 where none is given. */
export const redisHosts: Format<readonly string[]> = z
  .string()
  .transform((text, context) => {
    const hosts = text === "" ? [] : text.split(",").map((host) => hostAndPort(host.trim()));
    if (hosts.every((host) => host !== undefined)) return hosts;
    context.issues.push({ code: "custom", message: hostsAllowed, input: text });
    return z.NEVER;
  })
  .describe(hostsAllowed);

function hostAndPort(text: string): string | undefined {
  const url = URL.parse(`redis://${text}`);
  if (url === null || url.hostname === "" || url.host !== text) return undefined;
  return `${url.hostname}:${url.port || 26379}`;
}

const nameAllowed = "letters, digits and . _ - only";

/** What Sentinel takes for the name of a primary. */
export const redisName: Format<string> = z
  .string()
  .transform((text, context) => {
    if (/^[\w.-]+$/.test(text)) return text;
    context.issues.push({ code: "custom", message: nameAllowed, input: text });
    return z.NEVER;
  })
  .describe(nameAllowed);

export const redisSecret: Format<string> = z.string().describe("a password");

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
