/**
 * Makes foreign text safe for a terminal, and for one line: control and format characters (Unicode
 * categories Cc and Cf: escape sequences, line breaks, changes of direction, invisible characters) and
 * line separators are written as `\u001b`.
 */
export function terminalText(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (character) => {
    const hex = (character.codePointAt(0) ?? 0).toString(16);
    return hex.length > 4 ? `\\u{${hex}}` : `\\u${hex.padStart(4, "0")}`;
  });
}
