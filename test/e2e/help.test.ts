import { beforeAll, expect, test } from "bun:test";
import { allowedBy, flagOf, settings } from "../../src/config/config.ts";
import { Program } from "../support/program.ts";

async function printed(...args: string[]): Promise<string> {
  await using program = await Program.start({}, ...args);
  expect({ exit: await program.exit(), stderr: program.stderr }).toEqual({ exit: 0, stderr: "" });
  return program.stdout;
}

let help: string;
let allSettings: string;
beforeAll(async () => {
  [help, allSettings] = await Promise.all([printed("--help"), printed("help", "settings")]);
});

test("every setting stands in help settings, with its default and what is allowed", () => {
  const flat = allSettings.replaceAll(/\s+/g, " ");
  for (const setting of settings) {
    expect(allSettings).toMatch(new RegExp(`^ {2}${flagOf(setting.variable)}[ ,]`, "m"));
    expect(flat).toContain(setting.help.replaceAll("`", ""));
    expect(flat).toContain(`Must be ${allowedBy(setting.schema)}.`);
    if (setting.default !== "") expect(flat).toContain(`[${setting.default}]`);
  }
  expect(allSettings).toContain("  --dev, --no-dev [true]\n");
});

test.each([
  ["serve", ["--state-file"]],
  ["healthcheck", ["--ready", "--state-file"]],
  ["doctor", ["--origin URL", "--idle 60s", "--insecure"]],
  ["config", ["--state-file"]],
])("%s stands in --help and has a help of its own", async (command, options) => {
  expect(help).toMatch(new RegExp(`^ {2}${command} `, "m"));
  const own = await printed("help", command);
  expect(await printed(command, "--help")).toBe(own);
  expect(own).toStartWith(`Usage: nt-signal ${command}`);
  for (const option of options) expect(own).toContain(option);
  expect(own.includes("--state-file")).toBe(options.includes("--state-file"));
});

test("--help fits on two screens of a terminal: eight settings and the way to the rest", () => {
  expect(help.trimEnd().split("\n").length).toBeLessThan(60);
  expect(help.match(/^ {2}--/gm)).toHaveLength(8);
  expect(help).toContain("nt-signal help settings");
  for (const line of `${help}\n${allSettings}`.split("\n")) {
    if (line.trim().includes(" ") && !line.includes("[")) expect(line.length).toBeLessThan(90);
  }
});
