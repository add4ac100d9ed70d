import { expect, test } from "bun:test";
import { mailboxClientsSurviveCuts, ownClientSurvivesCuts } from "./cuts.ts";

const total = (cuts: Readonly<Record<string, number>>) =>
  Object.values(cuts).reduce((sum, count) => sum + count, 0);

test("500 cuts lose, repeat and reorder no mail of the own client, in either direction", async () => {
  const { cuts, mails } = await ownClientSurvivesCuts({ seed: 20260101, cuts: 500 });
  expect(total(cuts)).toBe(500);
  expect(mails).toBeGreaterThan(500);
});

test("500 cuts lose no mail that the server had read from a mailbox client, nor its order", async () => {
  const { cuts, mails } = await mailboxClientsSurviveCuts({ seed: 20260102, cuts: 500 });
  expect(total(cuts)).toBe(500);
  expect(mails).toBeGreaterThan(500);
});
