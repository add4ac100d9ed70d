import { redis } from "./inside.ts";
import type { Reply } from "./redis-data.ts";

// TypeScript versions of the functions that src/engine/redis/inside/lua.ts declares.

export function call(command: string, ...args: (string | number)[]): Reply {
  if (redis.data === undefined) throw new Error("This is not inside of Redis");
  return redis.data.run(command, args);
}

export const pack = JSON.stringify;
export const unpack = JSON.parse;
export const parse = JSON.parse;

/** Fast path: most texts are names and tokens without characters that JSON escapes. */
export function quote(text: string | boolean): string {
  return typeof text === "string" && /^[\w :./-]*$/.test(text) ? `"${text}"` : JSON.stringify(text);
}

export function format(pattern: string, ...numbers: number[]): string {
  if (numbers.length === 1) return String(Math.round(numbers[0] as number));
  let next = 0;
  return pattern.replaceAll("%.0f", () => String(Math.round(numbers[next++] ?? 0)));
}

export function number(text: Reply | undefined): number | undefined {
  if (typeof text === "number") return text;
  if (typeof text !== "string") return undefined;
  const value = Number(text);
  return Number.isNaN(value) || (value === 0 && text.trim() === "") ? undefined : value;
}

export function match(text: string, pattern: string): string | undefined {
  return new RegExp(pattern.replaceAll("%d", "\\d")).exec(text)?.[0];
}
