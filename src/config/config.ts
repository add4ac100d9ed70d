import { StartError } from "../base/errors.ts";
import { nearest } from "../base/nearest.ts";
import { type Given, readFlags } from "./flags.ts";
import { applyRules, type Draft, problemLine } from "./rules.ts";
import { type Config, type Setting, settings, withoutEffect } from "./settings.ts";

export { flagOf, isSwitch } from "./flags.ts";
export { allowedBy } from "./formats.ts";
export { type Config, type Setting, settingGroups, settings, withoutEffect } from "./settings.ts";

/** Environment variables by name. Those that are not settings are ignored. */
export type Env = Readonly<Record<string, string | undefined>>;

type ConfigReading =
  | {
      readonly config: Config;
      /** Sentences for the log. They do not keep the server from starting. */
      readonly warnings: readonly string[];
      /**
       * By variable: `flag --port`, `environment PORT` or `default`. A default that another setting
       * changed is still a default.
       */
      readonly sources: ReadonlyMap<string, string>;
    }
  | {
      /** Lines on what is wrong and what would be right, without any secret. */
      readonly problems: readonly string[];
    };

/**
 * Reads every setting from its flag in `args`, else its variable, else one of the variable's
 * aliases, else its default. Space around a value is dropped, and an empty variable counts as not
 * given. A variable that a flag overrides is not checked. Gives all problems, not only the first.
 */
export function readConfig(env: Env, args: readonly string[] = []): ConfigReading {
  const flags = readFlags(args);
  const problems = [...flags.problems];
  const warnings: string[] = [];
  const values: Draft["values"] = {};
  const given = new Set<keyof Config>();
  const sources = new Map<string, string>();
  const givenFor = (variable: string, aliases: readonly string[] = []): Given[] => {
    const flag = flags.given.get(variable);
    if (flag) return [flag];
    return [variable, ...aliases]
      .map((name) => ({ name, text: env[name]?.trim() ?? "", source: `environment ${name}` }))
      .filter(({ text }) => text !== "");
  };

  for (const setting of settings) {
    const all = givenFor(setting.variable, setting.aliases);
    const [first] = all;
    sources.set(setting.variable, first?.source ?? "default");
    if (first !== undefined && first.text !== "") given.add(setting.key);
    const { value, faults } = read(setting, all);
    Object.assign(values, { [setting.key]: value });
    problems.push(...faults);
  }
  applyRules({ values, given, problems, warnings });
  if (problems.length > 0) return { problems };

  const idle = withoutEffect.flatMap(({ variables, why }) =>
    variables.flatMap((variable) => givenFor(variable).map(({ name }) => `${name} (${why})`)),
  );
  warnings.push(...mistyped(env));
  if (idle.length > 0) {
    warnings.push(`These settings have no effect and can be removed: ${idle.join(", ")}.`);
  }
  return { config: Object.freeze(values) as Config, warnings, sources };
}

/** As `readConfig`. Throws a `StartError` with a line for each problem. */
export function requireConfig(env: Env, args: readonly string[]) {
  const reading = readConfig(env, args);
  if ("config" in reading) return reading;
  const lines = reading.problems.map((problem) => `\n  ${problem}`);
  throw new StartError(`The server cannot start with these settings:${lines.join("")}`);
}

/** The first value that was given, else the default; undefined if it is wrong. */
function read(setting: Setting, [chosen, ...others]: readonly Given[]) {
  const { variable, schema, secret } = setting;
  const line = (given: Given | undefined, allowed: string) =>
    problemLine(given?.name ?? variable, secret ? "***" : given?.text, allowed);
  // One of two different values would be ignored.
  const faults = others
    .filter(({ text }) => text !== chosen?.text)
    .map((other) =>
      line(other, `the same as ${chosen?.name}, which sets the same thing; keep one of them`),
    );
  const parsed = schema.safeParse(chosen?.text ?? setting.default);
  if (isQuoted(chosen?.text ?? "")) faults.push(line(chosen, withoutQuotes));
  else if (!parsed.success) {
    faults.push(...parsed.error.issues.map(({ message }) => line(chosen, message)));
  }
  return { value: parsed.data, faults };
}

const withoutQuotes =
  "without the quotes around it; a list in a Compose file (- NAME=value) and docker's --env-file " +
  "make them a part of the value";

/** No value needs quotes. Around a secret or a path they would be noticed much later. */
function isQuoted(text: string): boolean {
  return /^(?:".*"|'.*'|`.*`|\u201c.*\u201d|\u2018.*\u2019)$/s.test(text);
}

const knownNames = new Set([
  ...settings.flatMap(({ variable, aliases = [] }) => [variable, ...aliases]),
  ...withoutEffect.flatMap(({ variables }) => variables),
]);

const byInitial = Map.groupBy(knownNames, (name) => name[0]);

/**
 * Warns of variables that are probably misspelt settings: the first letter agrees, and one change, or
 * two in names of eight letters and more, makes a setting of it. Names of three letters are too short.
 */
function mistyped(env: Env): string[] {
  return Object.entries(env).flatMap(([name, value = ""]) => {
    if (value === "" || name.length < 4 || knownNames.has(name)) return [];
    const meant = nearest(name, byInitial.get(name[0]) ?? [], name.length < 8 ? 1 : 2);
    return meant ? `${name} is not a setting and is ignored. Did you mean ${meant}?` : [];
  });
}
