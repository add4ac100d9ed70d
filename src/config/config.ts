import { editDistance } from "../base/nearest.ts";
import { type GivenFlag, readFlags } from "./flags.ts";
import type { SettingError } from "./problem.ts";
import { applyRules, type Draft } from "./rules.ts";
import type { Setting } from "./setting.ts";
import { type Config, settings } from "./settings.ts";
import type { Source } from "./source.ts";

export { flagOf, isSwitch } from "./flags.ts";
export { describeProblem, type SettingError } from "./problem.ts";
export type { Setting } from "./setting.ts";
export { type Config, settingGroups, settings } from "./settings.ts";
export { describeSource, type Source } from "./source.ts";

/** Environment variables by name; what it holds beside the settings is ignored. */
export type Env = Readonly<Record<string, string | undefined>>;

export type ConfigReading =
  | {
      readonly config: Config;
      /** Sentences for the log of a server that starts all the same. */
      readonly warnings: readonly string[];
      /** By variable. A default that another setting changed still counts as one. */
      readonly sources: ReadonlyMap<string, Source>;
    }
  | { readonly problems: readonly SettingError[] };

/**
 * Reads every setting from its flag in `args`, else its variable, else one of the variable's
 * aliases, else its default. Space around a value is dropped, and an empty variable is one that was
 * not given. What a flag overrides is not looked at. Tells all problems, not only the first.
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
    if (!parsed.success) {
      for (const issue of parsed.error.issues) {
        problems.push(problem(setting, chosen, issue.message));
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
      warnings.push(`${name} is no setting and is ignored. Is ${meant} meant?`);
  }
  return warnings;
}

interface Given {
  readonly source: Exclude<Source, { readonly from: "default" }>;
  /** Empty only from a flag. */
  readonly text: string;
}

/** What is said of a setting: by its flag alone, or by its variable before its aliases. */
function givenValues(setting: Setting, flag: GivenFlag | undefined, env: Env): Given[] {
  if (flag !== undefined) return [{ source: { from: "flag", name: flag.flag }, text: flag.text }];
  return [setting.variable, ...(setting.aliases ?? [])].flatMap((name) => {
    const text = env[name]?.trim() ?? "";
    return text === "" ? [] : [{ source: { from: "environment", name }, text }];
  });
}

/** Two names of one setting with two values: whichever was taken, the other would be ignored. */
function disagreements(setting: Setting, chosen: Given, others: readonly Given[]): SettingError[] {
  const name = chosen.source.name;
  return others
    .filter((other) => other.text !== chosen.text)
    .map((other) =>
      problem(setting, other, `the same as ${name}, which sets the same thing; keep one of them`),
    );
}

function problem(setting: Setting, given: Given | undefined, allowed: string): SettingError {
  return {
    variable: given?.source.name ?? setting.variable,
    value: setting.secret ? "***" : given?.text,
    allowed,
  };
}
