/** Nothing that is seen, blanks and dashes; U+2212 is the minus, U+30FC what Japanese keyboards give. */
const filler =
  /[\s\p{Cc}\p{Cf}\p{M}\p{Pd}\p{Default_Ignorable_Code_Point}\u2212\u2800\u30fc\uff70]/gu;

/**
 * The code in what somebody typed or pasted: in groups, in any script's digits, or as the end of a link
 * to this page. Undefined for what is not a code: 4 to 8 digits and nothing else.
 */
export function readCode(text: string): string | undefined {
  const written = /^\s*\S*#([^#]*)$/u.exec(text)?.[1] ?? text;
  const code = written.replaceAll(filler, "").replaceAll(/\p{Nd}/gu, digitValue);
  return /^[0-9]{4,8}$/.test(code) ? code : undefined;
}

/** Each script has its ten digits in a row, and rows that touch are whole (Unicode, section 4.6). */
function digitValue(digit: string): string {
  const at = digit.codePointAt(0) ?? 0;
  let first = at;
  while (/\p{Nd}/u.test(String.fromCodePoint(first - 1))) first--;
  return String((at - first) % 10);
}
