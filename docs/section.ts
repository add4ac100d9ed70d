import { settingsTable } from "./settings-table.ts";

export const readmePath = `${import.meta.dir}/../README.md`;

/** The parts of the README that are written by a program, by the name in their markers. */
export const readmeSections: Readonly<Record<string, () => string>> = {
  settings: settingsTable,
};

/**
 * The text with the section between `<!-- name:begin -->` and `<!-- name:end -->` replaced.
 * Undefined when it doesn't hold both markers, in this order.
 */
export function withSection(text: string, name: string, section: string): string | undefined {
  const begin = `<!-- ${name}:begin -->`;
  const start = text.indexOf(begin);
  const end = text.indexOf(`<!-- ${name}:end -->`, start);
  if (start < 0 || end < 0) return undefined;
  return `${text.slice(0, start + begin.length)}\n\n${section}\n\n${text.slice(end)}`;
}
