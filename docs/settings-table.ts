import { type Setting, settings } from "../src/config/config.ts";

/** The settings as a Markdown table, without a line break at its end. */
export function settingsTable(): string {
  const rows = settings.map((setting) => [
    `\`${setting.variable}\``,
    setting.default === "" ? "*(empty)*" : `\`${setting.default}\``,
    description(setting),
  ]);
  const header = ["Variable", "Default", "Description"];
  const lines = [header, header.map(() => "---"), ...rows];
  return lines.map((cells) => `| ${cells.map(withoutBars).join(" | ")} |`).join("\n");
}

function description(setting: Setting): string {
  const sentences = [setting.help, `Must be ${setting.schema.description}`];
  if (setting.noMeaning !== undefined) sentences.push(`Has no effect: ${setting.noMeaning}`);
  if (setting.aliases !== undefined) {
    sentences.push(`Also: ${setting.aliases.map((alias) => `\`${alias}\``).join(", ")}`);
  }
  return sentences.map((sentence) => `${sentence}.`).join(" ");
}

/** A bar would end the cell, even inside backticks. */
function withoutBars(text: string): string {
  return text.replaceAll("|", "\\|");
}
