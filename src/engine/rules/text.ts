/** The lengths of a text that the rules need. Texts are well-formed UTF-16. Redis has its own: library.lua. */
export const byteLength = (text: string): number => Buffer.byteLength(text);
export const utf16Length = (text: string): number => text.length;
