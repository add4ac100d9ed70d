import { nearest } from "../base/nearest.ts";
import { boolean } from "./formats.ts";
import { type Setting, type SettingError, settings } from "./settings.ts";

/** The flag of one setting on the command line. */
export interface GivenFlag {
  /** As it was written: `--port`, `--no-dev`. */
  readonly flag: string;
  /** Without space around it. Empty only where the setting's default is. */
  readonly text: string;
}

/** The flag of a variable or alias: `--room-ttl` of `ROOM_TTL`. */
export function flagOf(variable: string): string {
  return `--${variable.toLowerCase().replaceAll("_", "-")}`;
}

/** Whether its flag stands alone: `--dev`, and `--no-dev` for the opposite. */
export function isSwitch(setting: Setting): boolean {
  return setting.schema === boolean;
}

interface KnownFlag {
  readonly setting: Setting;
  /** The value that the flag means by itself, as `--no-dev` does. */
  readonly ownValue: string | undefined;
}

/** Flags beside those of the settings' names: what each is short for. */
const shorthands: readonly (readonly [flag: string, variable: string, ownValue?: string])[] = [
  ["-p", "PORT"],
  ["--quiet", "LOG_LEVEL", "error"],
];

const known: ReadonlyMap<string, KnownFlag> = new Map([
  ...shorthands.flatMap(([flag, variable, ownValue]): [string, KnownFlag][] => {
    const setting = settings.find((one) => one.variable === variable);
    return setting === undefined ? [] : [[flag, { setting, ownValue }]];
  }),
  ...settings.flatMap((setting) =>
    [setting.variable, ...(setting.aliases ?? [])].flatMap((name): [string, KnownFlag][] => {
      const flag = flagOf(name);
      const plain: [string, KnownFlag] = [flag, { setting, ownValue: undefined }];
      if (!isSwitch(setting)) return [plain];
      return [plain, [`--no-${flag.slice(2)}`, { setting, ownValue: "false" }]];
    }),
  ),
]);

/**
 * Reads `--port 9000`, `--port=9000`, `--dev`, `--dev=false`, `--no-dev`: one flag for every
 * variable and alias. The values are not checked here. A word that starts with "--" is never the
 * value of the flag before it.
 */
export function readFlags(args: readonly string[]): {
  /** By the setting's variable. */
  readonly given: ReadonlyMap<string, GivenFlag>;
  readonly problems: readonly SettingError[];
} {
  const given = new Map<string, GivenFlag>();
  const problems: SettingError[] = [];
  const waiting = [...args];
  for (let word = waiting.shift(); word !== undefined; word = waiting.shift()) {
    const { flag, attached } = split(word);
    const meant = known.get(flag);
    if (meant === undefined) {
      problems.push({ variable: flag, fault: unknown(flag) });
      // The next word is its value: it makes no second problem, and may be a secret.
      const hasValue = flag.startsWith("--") && attached === undefined;
      if (hasValue && waiting[0]?.startsWith("-") === false) waiting.shift();
      continue;
    }
    const text = textOf(meant, attached, waiting);
    const earlier = given.get(meant.setting.variable);
    if (typeof text !== "string") problems.push({ variable: flag, fault: text.fault });
    else if (earlier === undefined) given.set(meant.setting.variable, { flag, text });
    else problems.push({ variable: flag, fault: repeated(flag, earlier.flag) });
  }
  return { given, problems };
}

function split(word: string): { flag: string; attached: string | undefined } {
  const at = word.startsWith("--") ? word.indexOf("=") : -1;
  if (at === -1) return { flag: word, attached: undefined };
  return { flag: word.slice(0, at), attached: word.slice(at + 1).trim() };
}

/** Takes the value out of `waiting` where the flag has none attached. */
function textOf(
  { setting, ownValue }: KnownFlag,
  attached: string | undefined,
  waiting: string[],
): string | { readonly fault: string } {
  if (ownValue !== undefined) {
    if (attached === undefined) return ownValue;
    return { fault: `takes no value; write ${flagOf(setting.variable)}=${attached}` };
  }
  const next = waiting[0];
  if (attached === undefined && isSwitch(setting)) {
    const isValue = next !== undefined && boolean.safeParse(next).success;
    return isValue ? (waiting.shift() ?? "true") : "true";
  }
  const text = attached ?? (next?.startsWith("--") ? undefined : waiting.shift()?.trim());
  if (text !== undefined && (text !== "" || setting.default === "")) return text;
  return { fault: `needs a value: ${setting.schema.description}` };
}

function unknown(word: string): string {
  if (!word.startsWith("-")) return "is not a flag; settings are written like --port 9000";
  const close = nearest(
    word,
    [...known.keys()].filter((flag) => flag.startsWith("--")),
  );
  return `there is no such flag${close === undefined ? "; see --help" : `; did you mean ${close}?`}`;
}

function repeated(flag: string, earlier: string): string {
  return flag === earlier
    ? "is given twice; keep one of them"
    : `sets the same as ${earlier}; keep one of them`;
}
