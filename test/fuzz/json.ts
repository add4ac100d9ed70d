import type { Chance } from "../support/chance.ts";

// JSON as text, since much of what is of interest has no value in this language.

const numbers = [
  ..."0,-0,-1,1,1.5,42,1e308,-1e308,1e999,-1e999,1e-999,5e-324".split(","),
  ..."9007199254740991,9007199254740993,9007194959773696,4294967296,2147483648".split(","),
  "9".repeat(400),
  `0.${"0".repeat(400)}1`,
];

const strings = [
  '""',
  '"x"',
  '"A"',
  '"b"',
  '"__proto__"',
  '"constructor"',
  '"\\u0000"',
  '"\\ud800"',
  '"\\udfff\\ud800"',
  '"\u{1f600}\u202e\ufeff"',
  '"\\"}],\\\\"',
  '"\\n\\r\\t\\b"',
  `"${"x".repeat(300)}"`,
  '"00000000-0000-4000-8000-000000000000"',
  '"2802"',
  '"99999999"',
];

const names = ["a", "type", "__proto__", "constructor", "toString", "length", "", "\\u0000"];

/** Some value of any type, seldom a deep or a long one. */
export function anyValue(chance: Chance, depth = 0): string {
  switch (chance.below(depth > 3 ? 4 : 8)) {
    case 0:
      return chance.pick(numbers);
    case 1:
    case 2:
      return chance.pick(strings);
    case 3:
      return chance.pick(["null", "true", "false", "[]", "{}"]);
    case 4: {
      const items = Array.from({ length: chance.below(4) }, () => anyValue(chance, depth + 1));
      return `[${items.join(",")}]`;
    }
    case 5:
      return chance.oneIn(2_000) ? nested(chance) : chance.pick(strings);
    default: {
      const members = Array.from(
        { length: chance.below(4) },
        () => [chance.pick(names), anyValue(chance, depth + 1)] as const,
      );
      return object(members);
    }
  }
}

/** Names may repeat, as senders may write them. */
export function object(members: readonly (readonly [name: string, value: string])[]): string {
  return `{${members.map(([name, value]) => `"${name}":${value}`).join(",")}}`;
}

/** 100,000 brackets, closed or not. */
export function nested(chance: Chance): string {
  const [open, close] = chance.pick([
    ["[", "]"],
    ['{"a":', "}"],
    ["[[{}],", "]"],
  ] as const);
  const times = Math.ceil(100_000 / open.length);
  const closed = chance.oneIn(2) ? close.repeat(times) : "";
  return open.repeat(times) + (close === "}" || chance.oneIn(2) ? "0" : "") + closed;
}

/** Almost JSON. */
export function broken(chance: Chance, text: string): string {
  const at = chance.below(text.length + 1);
  const [head, tail] = [text.slice(0, at), text.slice(at)];
  switch (chance.below(8)) {
    case 0:
      return head;
    case 1:
      return tail;
    case 2:
      return `${head}\0${tail}`;
    case 3:
      return `${head},${tail}`;
    case 4:
      return `\ufeff${text}`;
    case 5:
      return text + text;
    case 6:
      return text.replaceAll('"', "'");
    default:
      return `${head}${chance.pick(["NaN", "undefined", "//", "/**/", "\\u12", "\ud800", '"'])}${tail}`;
  }
}
