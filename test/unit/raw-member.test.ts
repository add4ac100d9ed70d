import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { rawMember } from "../../src/signaling/raw-member.ts";

test.each([
  ['{"payload":"x"}', '"x"'],
  ['{"payload":1}', "1"],
  ['{"payload":-1.50E+10}', "-1.50E+10"],
  ['{"payload":123456789012345678901234567890}', "123456789012345678901234567890"],
  ['{"payload":null,"b":1}', "null"],
  ['{"a":1,"payload":true}', "true"],
  ['{"payload":false }', "false"],
  ['{"payload":{}}', "{}"],
  ['{"payload":[]}', "[]"],
  ['{"payload":""}', '""'],
  [' \t\r\n{ "payload" \n:\t [ 1 , {"a":"]}"} ] \r, "b" : 2 } ', '[ 1 , {"a":"]}"} ]'],
  ['{"payload":"\\""}', '"\\""'],
  ['{"payload":"\\\\"}', '"\\\\"'],
  ['{"payload":"\\\\\\"","b":"x"}', '"\\\\\\""'],
  ['{"payload":"\\u0041 \\ud83d\\ude00"}', '"\\u0041 \\ud83d\\ude00"'],
  ['{"payload":"}],{\\"payload\\":1"}', '"}],{\\"payload\\":1"'],
  ['{"b":{"payload":1},"payload":2}', "2"],
  ['{"b":[{"payload":1}],"payload":2}', "2"],
  ['{"b":"payload","payload":2}', "2"],
  ['{"payload":1,"payload":2}', "2"],
  ['{"payload":1,"b":0,"p\\u0061yload":2}', "2"],
  ['{"\\u0070ayload":"escaped key"}', '"escaped key"'],
  ['{"\\\\payload":1,"payload\\"":2,"payload":3}', "3"],
])("of %p the payload is %p", (text, payload) => {
  expect(rawMember(text, "payload")).toBe(payload);
});

test.each(["{}", " { } ", '{"a":1}', '{"b":{"payload":1}}', '{"Payload":1}', '{"payload ":1}'])(
  "%p has no payload",
  (text) => {
    expect(rawMember(text, "payload")).toBeUndefined();
  },
);

describe("against JSON.parse", () => {
  const space = fc.stringMatching(/^[ \t\r\n]{0,3}$/);
  /** One text of the many that mean the same string. */
  const stringText = fc
    .string({ unit: fc.oneof(fc.constantFrom(...'\\"{}[],:/\u2028é漢 \t'), fc.string()) })
    .chain((text) =>
      fc.infiniteStream(fc.boolean()).map((escaped) => {
        let out = "";
        for (let at = 0; at < text.length; at++) {
          const unit = text.charCodeAt(at);
          const plain = JSON.stringify(text[at]).slice(1, -1);
          const hex = `\\u${unit.toString(16).padStart(4, "0")}`;
          out += escaped.next().value ? hex : plain;
        }
        return `"${out}"`;
      }),
    );
  const numberText = fc.oneof(
    fc.integer().map(String),
    fc.stringMatching(/^-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?$/),
  );
  const { valueText } = fc.letrec<{ valueText: string; members: string }>((tie) => ({
    valueText: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      fc.constantFrom("null", "true", "false"),
      numberText,
      stringText,
      fc
        .tuple(fc.array(fc.tuple(space, tie("valueText"), space)), space)
        .map(([items, gap]) => `[${items.length ? items.map((i) => i.join("")).join(",") : gap}]`),
      tie("members"),
    ),
    members: fc
      .array(fc.tuple(space, stringText, space, space, tie("valueText"), space))
      .map((all) => `{${all.map(([a, k, b, c, v, d]) => `${a}${k}${b}:${c}${v}${d}`).join(",")}}`),
  }));

  /** Objects with several members of few names, some of them twice, some escaped. */
  const keyText = fc.constantFrom(
    '"payload"',
    '"p\\u0061yload"',
    '"\\u0070\\u0061yload"',
    '"to"',
    '"payloads"',
    '"\\"payload\\""',
    '"__proto__"',
  );
  const objectText = fc
    .tuple(space, fc.array(fc.tuple(space, keyText, space, space, valueText, space)), space)
    .map(([before, all, after]) => {
      const members = all.map(([a, k, b, c, v, d]) => `${a}${k}${b}:${c}${v}${d}`);
      return { text: `${before}{${members.join(",")}}${after}`, all };
    });

  test("the raw text means what JSON.parse finds, for every name", () => {
    fc.assert(
      fc.property(objectText, ({ text }) => {
        const parsed = JSON.parse(text) as Record<string, unknown>;
        for (const name of ["payload", "to", "payloads", '"payload"', "__proto__", "absent"]) {
          const raw = rawMember(text, name);
          if (Object.hasOwn(parsed, name)) expect(JSON.parse(raw ?? "?")).toEqual(parsed[name]);
          else expect(raw).toBeUndefined();
        }
      }),
      { numRuns: 500 },
    );
  });

  test("the raw text is the last such member's, to the character", () => {
    fc.assert(
      fc.property(objectText, ({ text, all }) => {
        const last = all.findLast(([, key]) => JSON.parse(key) === "payload");
        expect(rawMember(text, "payload")).toBe(last?.[4]);
      }),
      { numRuns: 500 },
    );
  });

  test("whatever JSON.stringify writes is found again", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.dictionary(fc.string(), fc.jsonValue()), (payload, others) => {
        const text = JSON.stringify({ ...others, payload });
        expect(rawMember(text, "payload")).toBe(JSON.stringify(payload));
      }),
    );
  });
});
