import { expect, test } from "bun:test";
import { statSync } from "node:fs";
import { type Code, newAppId } from "../../src/base/ids.ts";
import type { StateRecord } from "../../src/engine/memory/snapshot.ts";
import { openStateFile } from "../../src/engine/memory/state-file.ts";
import { fakeClock } from "../support/clock.ts";
import { temporaryFolder } from "../support/folder.ts";

/** Files in a folder of their own, and the clock of those who wait for them. */
async function setUp() {
  const folder = await temporaryFolder();
  const path = folder.at("state");
  const clock = fakeClock();
  const waits = { path, clock, waitMs: 1_000, maxBytes: 16_000_000 };
  const open = () => openStateFile({ ...waits, onWait() {}, warn() {} });
  return { ...folder, path, clock, open };
}

const record: StateRecord = {
  code: {
    code: "1234" as Code,
    appId: newAppId(),
    accounts: [{ key: "c", kind: "client" }],
    withdrawAt: 9,
    restMs: 60_000,
    expiresAt: 1,
    isUsed: true,
    isLive: false,
    freeAt: 2,
    dueAt: 2,
  },
};

test("an opener gives up when the wait is over, and says what to do", async () => {
  await using files = await setUp();
  const first = await files.open();
  const refused = files.open().catch((error: Error) => error.message);
  for (let tries = 0; tries < 20; tries++) {
    files.clock.advance(50);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const told = await refused;
  expect(told).toContain(`STATE_FILE ${files.path} is in use`);
  expect(told).toContain("Stop it, or give this one a file of its own.");
  first.release();
  // A failed attempt leaves nothing locked.
  (await files.open()).release();
});

test("records longer than what is read at once come back as they were, in order", async () => {
  await using files = await setUp();
  const place = { started: false, lastToken: 0, sid: "", accounts: [] };
  const facts = { paired: true, established: true, minted: false, redeemed: false };
  const room = (payload: string, n: number): StateRecord => ({
    room: {
      ...{ appId: newAppId(), startedAt: n, emptyAt: n, tokens: n, owner: [] },
      ...{ ...facts, A: place, B: place },
    },
    A: { mails: [], ids: [] },
    B: { mails: [{ from: "A", payload, accounts: [] }], ids: [["\u2028\n\ud800", n]] },
  });
  const payloads = [
    "é".repeat(700_000),
    "",
    "\u{1f511}\n\r\u2028".repeat(300_000),
    "x".repeat(1_048_576),
  ];
  const records = [record, ...payloads.map(room)];
  const file = await files.open();
  await file.save(records);
  const read: StateRecord[] = [];
  expect(await file.load((record) => read.push(record))).toBe("restored");
  expect(read).toEqual(records);
  file.release();
});

test("records are made as they are written, so that a large state is never there twice", async () => {
  await using files = await setUp();
  const file = await files.open();
  const written: number[] = [];
  function* records(): Iterable<StateRecord> {
    for (let n = 0; n < 20_000; n++) {
      if (n % 5_000 === 0) written.push(statSync(`${files.path}.draft`).size);
      yield record;
    }
  }
  await file.save(records());
  expect(written.map((size) => size > 0)).toEqual([false, false, true, true]);
  file.release();
});
