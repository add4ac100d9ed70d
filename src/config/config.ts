import { editDistance } from "../base/nearest.ts";
import { type GivenFlag, readFlags } from "./flags.ts";
import { applyRules, type Draft } from "./rules.ts";
import { type Config, type Setting, type SettingError, settings } from "./settings.ts";

export { flagOf, isSwitch } from "./flags.ts";
export {
  type Config,
  type Setting,
  type SettingError,
  settingGroups,
  settings,
  settingValue,
} from "./settings.ts";

/** Environment variables by name; what it holds beside the settings is ignored. */
export type Env = Readonly<Record<string, string | undefined>>;

/** Where a setting's value came from, by the name that was used there. */
export type Source =
  | { readonly from: "flag" | "environment"; readonly name: string }
  | { readonly from: "default" };

type ConfigReading =
  | {
      readonly config: Config;
      /** Sentences for the log of a server that starts all the same. */
      readonly warnings: readonly string[];
      /** By variable. A default that another setting changed is still a default. */
      readonly sources: ReadonlyMap<string, Source>;
    }
  | { readonly problems: readonly SettingError[] };

/**
 * Reads every setting from its flag in `args`, else its variable, else one of the variable's
 * aliases, else its default. Space around a value is dropped, and an empty variable is one that was
 * not given. A variable that a flag overrides is not checked. Gives all problems, not only the first.
 */
export function readConfig(env: Env, args: readonly string[] = []): ConfigReading {
  const flags = readFlags(args);
  const problems: SettingError[] = [...flags.problems];
  const values: Record<string, unknown> = {};
  const sources = new Map<string, Source>();
  const given = new Set<string>();
  const idle: string[] = [];

  for (const setting of settings) {
    const [chosen, ...others] = givenValues(setting, flags.given.get(setting.variable), env);
    if (chosen !== undefined) problems.push(...disagreements(setting, chosen, others));
    sources.set(setting.variable, chosen?.source ?? { from: "default" });

    const parsed = setting.schema.safeParse(chosen?.text ?? setting.default);
    if (isQuoted(chosen?.text ?? "")) problems.push(wrongValue(setting, chosen, withoutQuotes));
    else if (!parsed.success) {
      for (const issue of parsed.error.issues) {
        problems.push(wrongValue(setting, chosen, issue.message));
      }
    }
    if (setting.noMeaning === undefined) {
      if (parsed.success) values[setting.key] = parsed.data;
      if (chosen !== undefined && chosen.text !== "") given.add(setting.key);
    } else if (chosen !== undefined) {
      idle.push(`${chosen.source.name} (${setting.noMeaning})`);
    }
  }

  const draft = { values, given } as Draft;
  const findings = applyRules(draft);
  problems.push(...findings.problems);
  if (problems.length > 0) return { problems };

  const warnings = [...findings.warnings, ...mistyped(env)];
  if (idle.length > 0) {
    warnings.push(`These settings have no effect and can be removed: ${idle.join(", ")}.`);
  }
  return { config: Object.freeze(draft.values) as Config, warnings, sources };
}

/** The problem on one line: `PORT="abc": a whole number from 0 to 65535`. */
export function describeProblem(problem: SettingError): string {
  if ("fault" in problem) return `${problem.variable}: ${problem.fault}`;
  const { variable, value, allowed } = problem;
  const given = value === undefined ? " (not set)" : `=${JSON.stringify(value)}`;
  return `${variable}${given}: ${allowed}`;
}

/** All of them under a heading, for a person to read, the last line break included. */
export function problemList(heading: string, problems: readonly SettingError[]): string {
  return `${heading}\n${problems.map((problem) => `  ${describeProblem(problem)}\n`).join("")}`;
}

const knownNames = settings.flatMap(({ variable, aliases = [] }) => [variable, ...aliases]);

/**
 * Variables that are no setting but nearly one: by one change, two in names of eight letters and
 * more. The first letter has to agree, and three letters are too few to tell.
 */
function mistyped(env: Env): string[] {
  const warnings: string[] = [];
  const known = new Set(knownNames);
  for (const [name, value = ""] of Object.entries(env)) {
    if (value === "" || name.length < 4 || known.has(name)) continue;
    const reach = name.length < 8 ? 1 : 2;
    const meant = knownNames.find(
      (candidate) =>
        candidate[0] === name[0] &&
        Math.abs(candidate.length - name.length) <= reach &&
        editDistance(name, candidate) <= reach,
    );
    if (meant !== undefined)
      warnings.push(`${name} is not a setting and is ignored. Did you mean ${meant}?`);
  }
  return warnings;
}

interface Given {
  readonly source: Exclude<Source, { readonly from: "default" }>;
  /** Empty only from a flag. */
  readonly text: string;
}

/** The values given for a setting: its flag's alone, or its variable's before its aliases'. */
function givenValues(setting: Setting, flag: GivenFlag | undefined, env: Env): Given[] {
  if (flag !== undefined) return [{ source: { from: "flag", name: flag.flag }, text: flag.text }];
  return [setting.variable, ...(setting.aliases ?? [])].flatMap((name) => {
    const text = env[name]?.trim() ?? "";
    return text === "" ? [] : [{ source: { from: "environment", name }, text }];
  });
}

const withoutQuotes =
  "without the quotes around it; a list in a Compose file (- NAME=value) and docker's --env-file " +
  "make them a part of the value";

/** No value needs quotes, and around a secret or a path they would be found much later. */
function isQuoted(text: string): boolean {
  return /^(?:".*"|'.*'|`.*`|\u201c.*\u201d|\u2018.*\u2019)$/s.test(text);
}

/** Other names of the same setting with another value: one of the two would be ignored. */
function disagreements(setting: Setting, chosen: Given, others: readonly Given[]): SettingError[] {
  const name = chosen.source.name;
  return others
    .filter((other) => other.text !== chosen.text)
    .map((other) =>
      wrongValue(
        setting,
        other,
        `the same as ${name}, which sets the same thing; keep one of them`,
      ),
    );
}

function wrongValue(setting: Setting, given: Given | undefined, allowed: string): SettingError {
  return {
    variable: given?.source.name ?? setting.variable,
    value: setting.secret ? "***" : given?.text,
    allowed,
  };
}
