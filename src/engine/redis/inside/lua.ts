// The functions that Redis provides to the compiled rules. This module only has their types: library.lua
// defines them under its name.

/** A reply of Redis. `false`: the key or field does not exist. */
export type Value = string | number | false;

/** Runs a Redis command. No other client's command runs during the whole function. Throws Redis's error. */
export declare const call: <T = unknown>(
  this: void,
  command: string,
  ...args: readonly (string | number)[]
) => T;

/** Serializes a value compactly. Numbers are exact up to 2^53. The order of keys is not kept. */
export declare const pack: (this: void, value: unknown) => string;
export declare const unpack: <T>(this: void, text: string) => T;

/** JSON, by cjson. It would write only 14 digits of a number: see `json` in present.ts. */
export declare const parse: <T>(this: void, text: string) => T;
export declare const quote: (this: void, text: string | boolean) => string;

/** `%.0f` writes all digits of a whole number; `tostring` does not. */
export declare const format: (
  this: void,
  pattern: "%.0f" | "%.0f-%.0f",
  ...numbers: number[]
) => string;

/** Converts a text to a number. */
export declare const number: (this: void, text: Value | undefined) => number | undefined;
/** The first part of a text that matches a Lua pattern. */
export declare const match: (this: void, text: string, pattern: string) => string | undefined;
