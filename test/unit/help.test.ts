import { expect, test } from "bun:test";
import { commands, defaultCommand } from "../../src/cli/commands.ts";
import { commandHelp, programHelp, settingsHelp } from "../../src/cli/help.ts";
import { flagOf, settingGroups, settings } from "../../src/config/config.ts";

const help = programHelp(commands, defaultCommand);
const allSettings = settingsHelp();

test("every setting that means something stands in help settings, with its default and what is allowed", () => {
  const flat = allSettings.replaceAll(/\s+/g, " ");
  for (const setting of settings) {
    if (setting.noMeaning !== undefined) continue;
    expect(allSettings).toMatch(new RegExp(`^ {2}${flagOf(setting.variable)}[ ,]`, "m"));
    expect(flat).toContain(setting.help.replaceAll("`", ""));
    expect(flat).toContain(`Must be ${setting.schema.description}.`);
    if (setting.default !== "") expect(flat).toContain(`[${setting.default}]`);
  }
});

test("the groups of settings hold every setting once", () => {
  const grouped = settingGroups.flatMap((group) => group.settings);
  const meant = settings.filter((setting) => setting.noMeaning === undefined);
  expect(grouped.map(({ variable }) => variable)).toEqual(meant.map(({ variable }) => variable));
});

test("every command stands in --help and has a help of its own", () => {
  for (const command of commands) {
    expect(help).toMatch(new RegExp(`^ {2}${command.name} `, "m"));
    expect(commandHelp(command)).toStartWith(`Usage: nt-signal ${command.name}`);
    for (const [option] of command.options ?? []) expect(commandHelp(command)).toContain(option);
    expect(commandHelp(command).includes("--state-file")).toBe(command.takesSettings);
  }
});

test("a switch is shown with its opposite, everything else with a value", () => {
  expect(allSettings).toContain("  --dev, --no-dev [true]\n");
  expect(help).toContain("  --port VALUE [1234]\n");
});

test("no line is wider than a terminal, but for words that are", () => {
  for (const line of `${help}\n${allSettings}`.split("\n")) {
    if (line.trim().includes(" ") && !line.includes("[")) expect(line.length).toBeLessThan(90);
  }
});

test("--help fits on two screens: eight settings, four examples, and the way to the rest", () => {
  expect(help.split("\n").length).toBeLessThan(60);
  expect(help.match(/^ {2}--/gm)).toHaveLength(8);
  expect(help.match(/^ {2}nt-signal/gm)).toHaveLength(4);
  expect(help).toContain("nt-signal help settings");
});
