import { parseAddress } from "../base/address.ts";

/**
 * The hops that `X-Forwarded-For` names, the nearest proxy's word first; `undefined` where one is no
 * address (a hidden or malformed one: nothing to its left can be believed). Reads no further to the
 * left than it is asked to: what stands there is the client's to choose, up to 16 KiB of it.
 */
export function* hopsOfXForwardedFor(value: string): Generator<string | undefined> {
  for (let end = value.length; end >= 0; ) {
    const comma = lastComma(value, end);
    yield parseHop(value.slice(comma + 1, end).trim());
    end = comma;
  }
}

/**
 * The hops that `Forwarded` names by `for=` (RFC 7239 section 4), the nearest proxy's word first, as
 * far as it is asked to. Quotes are paired from the right: one that a client leaves open cannot
 * swallow what the next proxy appends.
 */
export function* hopsOfForwarded(value: string): Generator<string | undefined> {
  for (let end = value.length; end >= 0; ) {
    const { start, parts } = lastElement(value, end);
    const pair = parts.find((text) => /^for=/i.test(text));
    yield pair === undefined ? undefined : parseHop(unquote(pair.slice(4)));
    end = start - 1;
  }
}

/** An address with or without a port, IPv6 in brackets where there is one (RFC 7239 section 6). */
function parseHop(text: string): string | undefined {
  if (text.length > maxHopLength) return undefined;
  const bracketed = /^\[([^\]]+)\](?::\d+)?$/.exec(text)?.[1];
  if (bracketed !== undefined) return parseAddress(bracketed);
  const ipv4 = /^([\d.]+):\d+$/.exec(text)?.[1];
  return parseAddress(ipv4 ?? text);
}

/** `[`, an IPv6 address that ends like an IPv4 one (45 characters), `]:`, a port. */
const maxHopLength = 64;

/** Where the comma before `end` stands; -1 where there is none. */
function lastComma(value: string, end: number): number {
  return end === 0 ? -1 : value.lastIndexOf(",", end - 1);
}

/** The element that ends before `end`: from the last comma outside quotes, cut at its semicolons. */
function lastElement(value: string, end: number): { start: number; parts: readonly string[] } {
  const parts: string[] = [];
  let quoted = false;
  let partEnd = end;
  let i = end - 1;
  for (; i >= 0; i--) {
    const character = value[i];
    if (character === '"' && !(quoted && isEscaped(value, i))) quoted = !quoted;
    if (quoted || (character !== "," && character !== ";")) continue;
    parts.push(value.slice(i + 1, partEnd).trim());
    partEnd = i;
    if (character === ",") return { start: i + 1, parts: parts.reverse() };
  }
  // A quote that nothing opens: none of this can be believed.
  if (quoted) return { start: 0, parts: [] };
  parts.push(value.slice(0, partEnd).trim());
  return { start: 0, parts: parts.reverse() };
}

/** Whether an odd number of backslashes stands before it (RFC 9110 section 5.6.4). */
function isEscaped(value: string, at: number): boolean {
  let first = at;
  while (value[first - 1] === "\\") first--;
  return (at - first) % 2 === 1;
}

function unquote(text: string): string {
  return text.startsWith('"') ? text.slice(1, -1).replace(/\\(.)/g, "$1") : text;
}
