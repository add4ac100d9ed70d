import { z } from "zod";
import { accountKinds } from "../../base/account.ts";
import type { AppId, Code, Side } from "../../base/ids.ts";
import { parseAppId, parseCode } from "../../base/ids.ts";
import { costOf } from "../rules/counting.ts";
import { byteLength } from "../rules/text.ts";
import { type Place, type Room, sides } from "../rules/turn.ts";
import type { MemoryCodes } from "./codes.ts";
import { MemoryIds } from "./lists.ts";
import { Beside, Kept, type Turns } from "./turns.ts";

/**
 * A piece of what outlives a process that was stopped in order: a code, or a room with its mail, with
 * the moments at which they expire. Seats and held frames belong to sockets, which end with it.
 */
export type StateRecord = z.output<typeof recordSchema>;

const ms = z.number().finite();
const count = z.number().int().min(0);
const accounts = z.array(z.object({ key: z.string(), kind: z.enum(accountKinds) }));

const appId = z.string().transform((text, context): AppId => {
  const parsed = parseAppId(text);
  if (parsed !== undefined) return parsed;
  context.addIssue({ code: "custom", message: "is no appID" });
  return z.NEVER;
});

const code = z.string().transform((text, context): Code => {
  const parsed = parseCode(text);
  if (parsed !== undefined) return parsed;
  context.addIssue({ code: "custom", message: "is no code" });
  return z.NEVER;
});

const codeSchema = z.object({
  code,
  appId,
  accounts,
  withdrawAt: count,
  restMs: ms,
  expiresAt: ms,
  isUsed: z.boolean(),
  isLive: z.boolean(),
  freeAt: ms,
  dueAt: ms,
});

/** A room is saved as it is. What is read back are the names that a store relies on, and all others. */
const placeSchema = z.looseObject({
  lastToken: count,
  sid: z.string(),
  accounts,
  leftAt: ms.optional(),
  box: z.looseObject({ before: count, last: count, sent: count, refusing: z.boolean() }).optional(),
});

const roomSchema = z.looseObject({
  appId,
  startedAt: ms,
  emptyAt: ms,
  tokens: count,
  owner: accounts,
  A: placeSchema,
  B: placeSchema,
});

const mailSchema = z.object({ from: z.enum(["A", "B"]), payload: z.string(), accounts });
const besideSchema = z.object({
  mails: z.array(mailSchema),
  ids: z.array(z.tuple([z.string(), count])),
});

export const recordSchema = z.union([
  z.object({ code: codeSchema }),
  /** Misses by the number of digits: `withdrawAt` goes by them. */
  z.object({ misses: z.record(z.string(), count) }),
  z.object({ room: roomSchema, A: besideSchema, B: besideSchema }),
]);

/** All that is held, codes first, made one by one as they are asked for. */
export function* takeSnapshot(
  turns: Turns,
  codes: MemoryCodes,
  now: () => number,
): Iterable<StateRecord> {
  const at = now();
  for (const record of codes.records()) {
    yield { code: { ...record, accounts: [...record.accounts] } };
  }
  yield { misses: { ...codes.misses().byDigits } };
  for (const kept of turns.kept.values()) {
    const { room } = kept;
    if (room === undefined) continue;
    const saved = {
      ...{ ...room, emptyAt: room.emptyAt ?? at },
      ...{ A: savedPlace(room.A, at), B: savedPlace(room.B, at) },
    };
    // The same types, but for lists that may not be written to.
    yield {
      room: saved,
      A: savedBeside(kept, "A"),
      B: savedBeside(kept, "B"),
    } as unknown as StateRecord;
  }
}

function savedPlace(place: Place, now: number): Place {
  const leftAt = place.seat === undefined ? place.leftAt : now;
  const gone = { seat: undefined, started: false, parked: undefined, hold: undefined };
  // Stamps are for readers that were there before; none is left.
  return { ...place, ...gone, leftAt, box: place.box && { ...place.box, stamp: 0 } };
}

function savedBeside(kept: Kept, side: Side) {
  const { mail, ids } = kept[side] ?? {};
  return {
    mails: (mail?.all() ?? []).map(({ from, payload, accounts: payers }) => ({
      ...{ from, payload },
      accounts: payers,
    })),
    ids: ids?.all() ?? [],
  };
}

/**
 * Puts a record into an engine that is not in use yet. What has expired meanwhile is left out. Codes
 * come before rooms.
 */
export function restoreRecord(record: StateRecord, turns: Turns, codes: MemoryCodes): void {
  if ("code" in record) return codes.restore(record.code);
  if ("misses" in record) return codes.setMisses({ ...codes.misses(), byDigits: record.misses });
  const kept = new Kept();
  // Written by this very version: what the schema does not name is as the rules left it.
  const room = record.room as unknown as Room;
  kept.room = room;
  for (const side of sides) restoreBeside(kept, room[side], side, record[side], turns);
  turns.restore(kept, room);
}

function restoreBeside(
  kept: Kept,
  place: Place,
  side: Side,
  { mails, ids }: z.output<typeof besideSchema>,
  turns: Turns,
): void {
  const { box } = place;
  if (mails.length + ids.length > 0) kept[side] = new Beside();
  if (box) {
    turns.count("mailboxes", 1);
    box.last = box.before + mails.length;
    box.stamp = mails.length;
    box.bytes = 0;
    for (const [index, mail] of mails.entries()) {
      const bytes = byteLength(mail.payload);
      const cost = costOf(mail.payload, bytes);
      kept[side]?.mail.push({ ...mail, bytes, stamp: index + 1 });
      box.bytes += bytes;
      turns.count("mails", 1);
      turns.count("mailBytes", cost);
      turns.charge("bytes", mail.accounts, cost);
    }
  }
  if (ids.length === 0) return;
  const memory = new MemoryIds();
  let bytes = 0;
  for (const [id, seq] of ids) {
    memory.put(id, seq);
    bytes += costOf(id);
  }
  if (kept[side]) kept[side].ids = memory;
  place.ids = { count: ids.length, bytes };
  turns.count("idBytes", bytes);
  turns.charge("bytes", place.accounts, bytes);
}
