import { expect, test } from "bun:test";
import { newAppId } from "../../src/base/ids.ts";
import { LocalSeat } from "../../src/engine/redis/local-seats.ts";
import { parseMessage, parseRingEntry } from "../../src/engine/redis/messages.ts";
import { RecordingListener } from "../contract/listener.ts";

function newSeat() {
  const newcomer = { appId: newAppId(), side: "A", sid: "", accounts: [] } as const;
  return new LocalSeat({ ...newcomer, listener: new RecordingListener() }, 1);
}
const frame = (number: number) => ({ number, type: "ice", frame: String(number) }) as const;
const numbers = (frames: readonly { readonly number: number }[]) => frames.map((f) => f.number);

test("frames are handed on in order and once, in whatever order and however often they come", () => {
  const seat = newSeat();
  expect(numbers(seat.begin(4))).toEqual([]);
  expect(numbers(seat.receive(frame(6)))).toEqual([]);
  expect(seat.hasGap).toBe(true);
  expect(numbers(seat.receive(frame(4)))).toEqual([]);
  expect(numbers(seat.receive(frame(5)))).toEqual([5, 6]);
  expect(numbers(seat.receive(frame(6)))).toEqual([]);
  expect(numbers(seat.receive(frame(5)))).toEqual([]);
  expect(numbers(seat.receive(frame(7)))).toEqual([7]);
  expect(seat.hasGap).toBe(false);
});

test("frames that come before it is known where relay begins wait for that", () => {
  const seat = newSeat();
  for (const number of [3, 1, 2]) expect(numbers(seat.receive(frame(number)))).toEqual([]);
  expect(numbers(seat.begin(1))).toEqual([2, 3]);
});

test("what was pulled fills gaps, and what is in neither place is lost and passed over", () => {
  const seat = newSeat();
  seat.begin(0);
  expect(numbers(seat.receive(frame(9)))).toEqual([]);
  const caught = seat.catchUp([frame(4), frame(5), frame(9)]);
  expect(numbers(caught.due)).toEqual([4, 5, 9]);
  expect(caught.lost).toBe(3 + 3);
  expect(numbers(seat.receive(frame(10)))).toEqual([10]);
});

test("a message tells its seat, and a frame keeps every character", () => {
  const appId = newAppId();
  const text = `frame ${appId} B 7 12 ice\n{"type" : "ice",\n "é": "a b"}`;
  expect(parseMessage(text)).toEqual({
    to: "seat",
    seat: { appId, side: "B", token: 7 },
    message: {
      kind: "frame",
      number: 12,
      type: "ice",
      frame: '{"type" : "ice",\n "é": "a b"}',
    },
  });
  expect(parseRingEntry("3 offer a b\nc")).toEqual({ number: 3, type: "offer", frame: "a b\nc" });
});

test.each(["", "nonsense", "frame", "left x Q 1", "answer 1 perhaps", "\n"])(
  "what somebody else publishes is no message: %p",
  (text) => {
    expect(parseMessage(text)).toBeUndefined();
  },
);
