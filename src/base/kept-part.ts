/** A part may keep this many other characters in memory. */
const mostBeside = 256;

/**
 * `part` of `whole`, for storing. The runtime keeps a whole text in memory for any part of it, so a
 * part that is much shorter is copied. So is a part of a text that is not all ASCII: there every
 * character takes two bytes, although those of the part may need only one.
 */
export function keptPart(part: string, whole: string): string {
  const mayShare =
    whole.length - part.length <= mostBeside && Buffer.byteLength(whole) === whole.length;
  return mayShare ? part : Buffer.from(part).toString();
}
