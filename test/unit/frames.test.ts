import { describe, expect, test } from "bun:test";
import {
  clientFrames,
  frameTypes,
  mailFrame,
  maxMailIdLength,
  maxWatermark,
  parseObject,
  peerJoined,
  peerLeft,
  roomFull,
  serverFrame,
  typeOf,
} from "../../src/protocol/frames.ts";

const {
  hello: { schema: helloFrame },
  send: { schema: sendFrame },
  delivered: { schema: deliveredFrame },
  telemetry: { schema: telemetryFrame },
} = clientFrames;

describe("a frame", () => {
  test.each(['{"type":"x"}', "{}", ' \n{"a":[{}]} \t', '{"__proto__":1}'])(
    "%p is one JSON object",
    (text) => {
      expect(parseObject(text)).toEqual(JSON.parse(text));
    },
  );

  test.each([
    "",
    "null",
    "1",
    '"x"',
    "[]",
    "[{}]",
    "{} {}",
    "{",
    "{'a':1}",
    '{"a":1,}',
    "\ufeff{}",
  ])("%p is none", (text) => {
    expect(parseObject(text)).toBeUndefined();
  });

  test.each(frameTypes.filter((type) => type !== "other"))("%s is known in any case", (type) => {
    const mixed = type.charAt(0).toUpperCase() + type.slice(1);
    for (const name of [type, type.toUpperCase(), mixed]) expect(typeOf({ type: name })).toBe(type);
  });

  test("of any other type counts as other", () => {
    const types = [
      undefined,
      null,
      1,
      ["offer"],
      { type: "offer" },
      "",
      "other",
      "offer ",
      "Ｏffer",
    ];
    for (const type of types) expect(typeOf({ type })).toBe("other");
  });

  test.each(["constructor", "__proto__", "toString"])("%p is no type by inheritance", (type) => {
    expect(typeOf({ type })).toBe("other");
  });
});

describe("a watermark", () => {
  const good = [0, 1, 1e3, 2 ** 32, maxWatermark];
  const bad = [-1, 0.5, 2 ** 53, 1e300, "1", null, true, [1], {}];

  test.each(good)("%p may be said", (n) => {
    expect(helloFrame.parse({ deliveredUpTo: n }).deliveredUpTo).toBe(n);
    expect(deliveredFrame.parse({ upTo: n }).upTo).toBe(n);
    expect(deliveredFrame.parse({ seq: n }).seq).toBe(n);
  });

  test.each(bad.map((n) => [n]))("%p is refused", (n) => {
    expect(helloFrame.safeParse({ deliveredUpTo: n }).success).toBe(false);
    expect(deliveredFrame.safeParse({ upTo: n }).success).toBe(false);
    expect(deliveredFrame.safeParse({ seq: n }).success).toBe(false);
  });

  test("of a hello leaves room to number on; all that was numbered may be acknowledged", () => {
    expect(helloFrame.safeParse({ deliveredUpTo: maxWatermark + 2 }).success).toBe(false);
    expect(deliveredFrame.parse({ upTo: maxWatermark + 2 }).upTo).toBe(maxWatermark + 2);
  });

  test("leaves room to count on without losing precision", () => {
    expect(Number.isSafeInteger(maxWatermark + 2 ** 31)).toBe(true);
  });

  test("may be missing from hello, not from delivered", () => {
    expect(helloFrame.safeParse({ side: "A" }).success).toBe(true);
    expect(deliveredFrame.safeParse({}).success).toBe(false);
  });
});

describe("send", () => {
  test.each([
    ["A", "A"],
    ["a", "A"],
    ["B", "B"],
    ["b", "B"],
  ] as const)("to %p goes to side %s", (to, side) => {
    expect(sendFrame.parse({ to, payload: "x" }).to).toBe(side);
  });

  test.each(["", "C", "AB", " A", 1, null, undefined])("to %p is refused", (to) => {
    expect(sendFrame.safeParse({ to, payload: "x" }).success).toBe(false);
  });

  test("takes any JSON value as a payload", () => {
    for (const payload of ["", "x", 0, null, false, [], {}]) {
      expect(sendFrame.safeParse({ to: "A", payload }).success).toBe(true);
    }
  });

  test("needs a payload", () => {
    expect(sendFrame.safeParse({ to: "A" }).success).toBe(false);
  });

  test("takes an id of 1 to 64 characters, or none", () => {
    const send = (id: unknown) => sendFrame.safeParse({ to: "A", payload: 1, id }).success;
    for (const id of ["x", "y".repeat(maxMailIdLength), undefined]) expect(send(id)).toBe(true);
    for (const id of ["", "y".repeat(maxMailIdLength + 1), 1, null]) expect(send(id)).toBe(false);
    // Two of them would be one id where text is kept as UTF-8.
    for (const id of ["\ud800", "x\udc00y", "\udc00\ud800"]) expect(send(id)).toBe(false);
    expect(send("\u{1f511}")).toBe(true);
  });
});

test("telemetry has an event, and a mode and a reason if any, all of them texts", () => {
  expect(telemetryFrame.safeParse({ event: "ice-connected", mode: "relay" }).success).toBe(true);
  for (const frame of [{}, { event: 1 }, { event: "e", mode: 1 }, { event: "e", reason: null }]) {
    expect(telemetryFrame.safeParse(frame).success).toBe(false);
  }
});

describe("what the server says", () => {
  test.each([
    [roomFull, { type: "room_full" }],
    [peerJoined, { type: "peer_joined" }],
    [peerLeft, { type: "peer_left" }],
    [serverFrame("stored", { id: '"id"', seq: 7 }), { type: "stored", id: '"id"', seq: 7 }],
    [
      serverFrame("error", { code: "bad_json", detail: "why", id: undefined }),
      { type: "error", code: "bad_json", detail: "why" },
    ],
    [
      serverFrame("error", { code: "mailbox_full", detail: "why", id: "id" }),
      { type: "error", code: "mailbox_full", detail: "why", id: "id" },
    ],
    [
      serverFrame("welcome", { side: "A", peer: true, heartbeatMs: 1, maxMessageBytes: 2 }),
      { type: "welcome", side: "A", peer: true, heartbeatMs: 1, maxMessageBytes: 2 },
    ],
  ])("%s is JSON of that meaning", (text, meaning) => {
    expect(JSON.parse(text)).toEqual(meaning);
  });

  test.each(['"x"', '"\\u00e9"', "1e400", '{ "a" : 1 }', "null"])(
    "mail carries its payload %p exactly as written",
    (payload) => {
      expect(mailFrame("deliver", 3, "B", payload)).toBe(
        `{"type":"deliver","seq":3,"from":"B","payload":${payload}}`,
      );
      expect(mailFrame("send", 2 ** 53 - 1, "A", payload)).toContain('"seq":9007199254740991,');
    },
  );
});
