import { expect, test } from "bun:test";
import { codePattern, newAppId, otherSide, parseAppId, parseSide } from "../../src/base/ids.ts";

const room = "f47ac10b-58cc-4372-a567-0e02b2c3d479";
const upper = room.toUpperCase();
const bare = room.replaceAll("-", "");

test.each([
  room,
  upper,
  "F47ac10b-58CC-4372-a567-0e02B2c3d479",
  bare,
  bare.toUpperCase(),
  `{${room}}`,
  `{${upper}}`,
  `urn:uuid:${room}`,
  `URN:UUID:${upper}`,
  `Urn:Uuid:${room}`,
])("%p names one and the same room", (text) => {
  expect(parseAppId(text)).toBe(room as never);
});

test.each(["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"])(
  "%p is a room whatever its version says",
  (text) => {
    expect(parseAppId(text)).toBe(text as never);
  },
);

test.each([
  "",
  " ",
  ` ${room}`,
  `${room} `,
  `${room}\n`,
  room.slice(1),
  `${room}0`,
  room.replace("-", ""),
  room.replace("f", "g"),
  room.replace("f", "ｆ"),
  room.replaceAll("-", "_"),
  `${bare}0`,
  bare.slice(1),
  `{${bare}}`,
  `{${room}`,
  `${room}}`,
  `{{${room}}}`,
  `(${room})`,
  `urn:uuid:${bare}`,
  `urn:uuid:{${room}}`,
  `urn:uuid ${room}`,
  `uuid:${room}`,
  "f47ac10b58cc-4372-a567-0e02b2c3d4-79",
])("%p names no room", (text) => {
  expect(parseAppId(text)).toBeUndefined();
});

test("a new room is a random UUID of version 4 in its canonical form", () => {
  const rooms = Array.from({ length: 100 }, () => newAppId());
  expect(new Set(rooms).size).toBe(100);
  for (const id of rooms) {
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(parseAppId(id)).toBe(id);
  }
});

test.each(["0000", "1234", "00001234", "99999999"])("%p is a code, as written", (text) => {
  expect(text).toMatch(codePattern);
});

test.each(["", "123", "123456789", "12a4", " 1234", "1234\n", "-123", "1.23", "１２３４", "٣٣٣٣"])(
  "%p is no code",
  (text) => {
    expect(text).not.toMatch(codePattern);
  },
);

test.each([
  ["A", "A"],
  ["a", "A"],
  ["B", "B"],
  ["b", "B"],
  ["", undefined],
  ["C", undefined],
  ["AB", undefined],
  [" A", undefined],
  ["А", undefined],
] as const)("side %p is %p", (text, side) => {
  expect(parseSide(text)).toBe(side);
});

test("each side has the other", () => {
  expect([otherSide("A"), otherSide("B")]).toEqual(["B", "A"]);
});
