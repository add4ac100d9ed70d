import { describeProblem, type SettingError } from "../config/config.ts";

/** Everything that is wrong with the settings, for a person to read, its last line break included. */
export function problemList(heading: string, problems: readonly SettingError[]): string {
  return `${heading}\n${problems.map((problem) => `  ${describeProblem(problem)}\n`).join("")}`;
}
