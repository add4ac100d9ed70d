// What Redis gives to what runs inside of it. There is no such module: the compiled rules find these under
// its name, by library.lua.

/** A value as Redis answers it: `false` for nothing. */
export type Value = string | number | false;

/** Commands, one after the other, with nothing in between. Throws what Redis refuses. */
export declare const call: <T = unknown>(
  this: void,
  command: string,
  ...args: readonly (string | number)[]
) => T;

/** Values in their shortest form, numbers exact to 2^53. Keeps no order of keys. */
export declare const pack: (this: void, value: unknown) => string;
export declare const unpack: <T>(this: void, text: string) => T;

/** JSON, which writes 14 digits of a number. */
export declare const parse: <T>(this: void, text: string) => T;
export declare const quote: (this: void, text: string | boolean) => string;

/** `%.0f` writes all digits of a whole number, which `tostring` does not. */
export declare const format: (
  this: void,
  pattern: "%.0f" | "%.0f-%.0f",
  ...numbers: number[]
) => string;

/** The number that a text, or the first part of it that matches a pattern, stands for. */
export declare const number: (this: void, text: Value | undefined) => number | undefined;
export declare const match: (this: void, text: string, pattern: string) => string | undefined;
