/** The measures of a text that the rules need. In Redis, text.lua has them. Texts are well-formed UTF-16. */
export const byteLength = (text: string): number => Buffer.byteLength(text);
export const utf16Length = (text: string): number => text.length;
