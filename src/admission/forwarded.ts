import { parseAddress } from "../base/address.ts";

/**
 * The hops that `X-Forwarded-For` names, client first, `undefined` where one is no address (a
 * hidden or malformed one: nothing to its left can be believed).
 */
export function hopsOfXForwardedFor(value: string): readonly (string | undefined)[] {
  return value.split(",").map((hop) => parseHop(hop.trim()));
}

/**
 * The hops that `Forwarded` names by `for=`, client first (RFC 7239 section 4). A quote that stays
 * open would swallow what the next proxy appends: then no hop is believed.
 */
export function hopsOfForwarded(value: string): readonly (string | undefined)[] {
  const elements = splitOutsideQuotes(value, ",");
  if (elements === undefined) return [undefined];
  return elements.map((element) => {
    const pairs = (splitOutsideQuotes(element, ";") ?? []).map((pair) => pair.trim());
    const pair = pairs.find((text) => /^for=/i.test(text));
    return pair === undefined ? undefined : parseHop(unquote(pair.slice(4)));
  });
}

/** An address with or without a port, IPv6 in brackets where there is one (RFC 7239 section 6). */
function parseHop(text: string): string | undefined {
  const bracketed = /^\[([^\]]+)\](?::\d+)?$/.exec(text)?.[1];
  if (bracketed !== undefined) return parseAddress(bracketed);
  const ipv4 = /^([\d.]+):\d+$/.exec(text)?.[1];
  return parseAddress(ipv4 ?? text);
}

/** Undefined when a quote stays open. One pass: clients choose what stands here. */
function splitOutsideQuotes(text: string, separator: "," | ";"): readonly string[] | undefined {
  const parts: string[] = [];
  let quoted = false;
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (quoted && character === "\\") i++;
    else if (character === '"') quoted = !quoted;
    else if (character === separator && !quoted) {
      parts.push(text.slice(start, i));
      start = i + 1;
    }
  }
  if (quoted) return undefined;
  parts.push(text.slice(start));
  return parts;
}

function unquote(text: string): string {
  return text.startsWith('"') ? text.slice(1, -1).replace(/\\(.)/g, "$1") : text;
}
