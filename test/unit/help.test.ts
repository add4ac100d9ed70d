import { expect, test } from "bun:test";
import { commands, defaultCommand } from "../../src/cli/commands.ts";
import { commandHelp, programHelp, settingsHelp } from "../../src/cli/help.ts";
import { flagOf, settings } from "../../src/config/config.ts";

const help = programHelp(commands, defaultCommand);
const allSettings = settingsHelp();

test("every setting stands in help settings, with its default and what is allowed", () => {
  const flat = allSettings.replaceAll(/\s+/g, " ");
  for (const setting of settings) {
    expect(allSettings).toMatch(new RegExp(`^ {2}${flagOf(setting.variable)}[ ,]`, "m"));
    expect(flat).toContain(setting.help.replaceAll("`", ""));
    expect(flat).toContain(`Must be ${setting.schema.description}.`);
    if (setting.default !== "") expect(flat).toContain(`[${setting.default}]`);
  }
  expect(allSettings).toContain("  --dev, --no-dev [true]\n");
});

test("every command stands in --help and has a help of its own", () => {
  for (const command of commands) {
    expect(help).toMatch(new RegExp(`^ {2}${command.name} `, "m"));
    expect(commandHelp(command)).toStartWith(`Usage: nt-signal ${command.name}`);
    for (const [option] of command.options ?? []) expect(commandHelp(command)).toContain(option);
    expect(commandHelp(command).includes("--state-file")).toBe(command.takesSettings);
  }
});

test("--help fits on two screens of a terminal: eight settings and the way to the rest", () => {
  expect(help.split("\n").length).toBeLessThan(60);
  expect(help.match(/^ {2}--/gm)).toHaveLength(8);
  expect(help).toContain("nt-signal help settings");
  for (const line of `${help}\n${allSettings}`.split("\n")) {
    if (line.trim().includes(" ") && !line.includes("[")) expect(line.length).toBeLessThan(90);
  }
});
