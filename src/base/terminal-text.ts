/**
 * Text of somebody else's, made safe to show on a terminal or on a line of its own: control and format
 * characters (Unicode categories Cc and Cf: escape sequences, line breaks, turned writing direction,
 * what cannot be seen) and the line separators stand as `\u001b`.
 */
export function terminalText(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (character) => {
    const hex = (character.codePointAt(0) ?? 0).toString(16);
    return hex.length > 4 ? `\\u{${hex}}` : `\\u${hex.padStart(4, "0")}`;
  });
}
