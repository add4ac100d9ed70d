import { redis } from "./inside.ts";
import type { Reply } from "./redis-data.ts";

// What Lua has and TypeScript has not, as src/engine/redis/inside/lua.ts declares it.

export function call(command: string, ...args: readonly (string | number)[]): Reply {
  if (redis.data === undefined) throw new Error("This is not inside of Redis");
  return redis.data.run(command, args);
}

export const pack = JSON.stringify;
export const unpack = JSON.parse;
export const parse = JSON.parse;
export const quote = JSON.stringify;

export function format(pattern: string, ...numbers: number[]): string {
  let next = 0;
  return pattern.replaceAll("%.0f", () => BigInt(Math.round(numbers[next++] ?? 0)).toString());
}

export function number(text: Reply | undefined): number | undefined {
  if (typeof text === "number") return text;
  if (typeof text !== "string" || text.trim() === "") return undefined;
  const value = Number(text);
  return Number.isNaN(value) ? undefined : value;
}

export function match(text: string, pattern: string): string | undefined {
  return new RegExp(pattern.replaceAll("%d", "\\d")).exec(text)?.[0];
}
