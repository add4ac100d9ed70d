import { expect, test } from "bun:test";
import { guessWatch } from "../../src/rendezvous/rendezvous.ts";

test("an attack is told of when it shows, when it has codes grow, and when it is over: once each", () => {
  const lines: unknown[] = [];
  let state = { recentMisses: 0, shows: false, digits: 4 };
  const look = guessWatch(() => state, { warn: (text, fields) => lines.push([text, fields]) });
  const after = (recentMisses: number, shows: boolean, digits: number) => {
    state = { recentMisses, shows, digits };
    look();
    look();
    return lines.splice(0);
  };
  expect(after(100, false, 4)).toEqual([]);
  expect(after(101, true, 6)).toEqual([
    ["codes are being guessed", { misses: 101, newCodeDigits: 6 }],
  ]);
  expect(after(900, true, 6)).toEqual([]);
  expect(after(1_001, true, 7)).toHaveLength(1);
  expect(after(900, true, 6)).toEqual([]);
  expect(after(1_001, true, 7)).toEqual([]);
  expect(after(5, false, 4)).toEqual([
    ["codes are not being guessed any more", { misses: 5, newCodeDigits: 4 }],
  ]);
  expect(after(101, true, 6)).toHaveLength(1);
});

test("where codes cannot grow an attack is told of all the same", () => {
  const lines: string[] = [];
  const state = { recentMisses: 101, shows: true, digits: 4 };
  guessWatch(() => state, { warn: (text) => lines.push(text) })();
  expect(lines).toEqual(["codes are being guessed"]);
});
