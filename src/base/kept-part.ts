/** So many characters a part may keep alive beside its own. */
const mostBeside = 256;

/**
 * `part` of `whole`, to be kept. The runtime keeps all of a text alive for a part of it, so one that is
 * much shorter is copied; and one of a text that is not all ASCII, where a character takes two bytes
 * even if the part's own would do with one.
 */
export function keptPart(part: string, whole: string): string {
  const mayShare =
    whole.length - part.length <= mostBeside && Buffer.byteLength(whole) === whole.length;
  return mayShare ? part : Buffer.from(part).toString();
}
