import { nearest } from "../base/nearest.ts";
import { allowedBy, boolean } from "./formats.ts";
import { type Setting, settings, withoutEffect } from "./settings.ts";

/** A value that the operator gave. */
export interface Given {
  /** The name by which it was given: `PORT`, `--port`, `--no-dev`. */
  readonly name: string;
  /** Without space around it. Empty only from a flag of a setting whose default is empty. */
  readonly text: string;
  /** `flag --port`, `environment PORT`. */
  readonly source: string;
}

interface KnownFlag {
  readonly variable: string;
  /** Undefined for a variable without effect. */
  readonly setting?: Setting;
  /** Its value if it is given alone: true for `--dev`. */
  readonly alone?: string;
  /** It cannot be given a value: `--no-dev`, `--quiet`. */
  readonly isFixed?: boolean;
}

/** The flag of a variable or alias: `--room-ttl` of `ROOM_TTL`. */
export function flagOf(variable: string): string {
  return `--${variable.toLowerCase().replaceAll("_", "-")}`;
}

/** Whether its flag needs no value: `--dev`, and `--no-dev` for the opposite. */
export function isSwitch(setting: Setting): boolean {
  return setting.schema === boolean;
}

const known = new Map<string, KnownFlag>();
for (const setting of settings) {
  const { variable, aliases = [] } = setting;
  for (const flag of [variable, ...aliases].map(flagOf)) {
    known.set(flag, { variable, setting, ...(isSwitch(setting) ? { alone: "true" } : {}) });
    const opposite = `--no-${flag.slice(2)}`;
    if (isSwitch(setting)) known.set(opposite, { variable, alone: "false", isFixed: true });
    if (variable === "PORT") known.set("-p", { variable, setting });
  }
}
known.set("--quiet", { variable: "LOG_LEVEL", alone: "error", isFixed: true });
for (const variable of withoutEffect.flatMap(({ variables }) => variables)) {
  known.set(flagOf(variable), { variable });
}

/**
 * Reads `--port 9000`, `--port=9000`, `--dev`, `--dev=false`, `--no-dev`: one flag for every
 * variable and alias. The values are not checked here. A word that starts with "--" is never the
 * value of the flag before it.
 */
export function readFlags(args: readonly string[]): {
  /** By variable. */
  readonly given: ReadonlyMap<string, Given>;
  readonly problems: readonly string[];
} {
  const given = new Map<string, Given>();
  const problems: string[] = [];
  const waiting = [...args];
  for (let word = waiting.shift(); word !== undefined; word = waiting.shift()) {
    const [, flag = word, attached] = /^(--[^=]*)=(.*)$/s.exec(word) ?? [];
    const meant = known.get(flag);
    const takesNext = attached === undefined && isValueOf(flag, meant, waiting[0] ?? "--");
    const text = (takesNext ? waiting.shift() : attached)?.trim() ?? meant?.alone;
    const earlier = given.get(meant?.variable ?? "")?.name;
    if (meant === undefined) problems.push(`${flag}: ${unknown(flag)}`);
    else if (meant.isFixed && attached !== undefined) {
      problems.push(`${flag}: takes no value; write ${flagOf(meant.variable)}=${attached}`);
    } else if (text === undefined || (text === "" && meant.setting?.default !== "")) {
      problems.push(
        `${flag}: needs a value: ${meant.setting ? allowedBy(meant.setting.schema) : "any text"}`,
      );
    } else if (earlier === undefined)
      given.set(meant.variable, { name: flag, text, source: `flag ${flag}` });
    else if (earlier === flag) problems.push(`${flag}: is given twice; keep one of them`);
    else problems.push(`${flag}: sets the same as ${earlier}; keep one of them`);
  }
  return { given, problems };
}

/** Whether `next` is the value of `flag`. The value of an unknown flag may be a secret: it is skipped too. */
function isValueOf(flag: string, meant: KnownFlag | undefined, next: string): boolean {
  if (meant === undefined) return flag.startsWith("--") && !next.startsWith("-");
  if (meant.alone !== undefined) return !meant.isFixed && boolean.safeParse(next).success;
  return !next.startsWith("--");
}

function unknown(word: string): string {
  if (!word.startsWith("-")) return "is not a flag; settings are written like --port 9000";
  const close = nearest(
    word,
    [...known.keys()].filter((flag) => flag.startsWith("--")),
  );
  return `there is no such flag${close === undefined ? "; see --help" : `; did you mean ${close}?`}`;
}
