import { z } from "zod";
import { accountKinds } from "../../base/account.ts";
import { parseAppId, parseCode, type Side } from "../../base/ids.ts";
import { remember, store } from "../rules/mail.ts";
import { byteLength } from "../rules/text.ts";
import { type Place, type Room, sides } from "../rules/turn.ts";
import type { MemoryCodes } from "./codes.ts";
import type { Beside, Turns } from "./turns.ts";

/**
 * A piece of what outlives a process that was stopped in order: a code, or a room with its mail, with
 * the moments at which they expire. Seats and held frames belong to sockets, which end with it.
 */
export type StateRecord = z.output<typeof recordSchema>;

const ms = z.number().finite();
const count = z.number().int().min(0);
const accounts = z.array(z.object({ key: z.string(), kind: z.enum(accountKinds) }));

/** A text that this reads as itself. */
const namedBy = <T extends string>(parse: (text: string) => T | undefined) =>
  z.custom<T>((value) => typeof value === "string" && parse(value) === value);
const appId = namedBy(parseAppId);

const codeSchema = z.object({
  code: namedBy(parseCode),
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
    const places = { A: savedPlace(room.A, at), B: savedPlace(room.B, at) };
    const saved = {
      room: { ...room, emptyAt: room.emptyAt ?? at, ...places },
      ...{ A: savedBeside(kept.A), B: savedBeside(kept.B) },
    };
    // The same types, but for lists that may not be written to.
    yield saved as unknown as StateRecord;
  }
}

function savedPlace(place: Place, now: number): Place {
  const leftAt = place.seat === undefined ? place.leftAt : now;
  const gone = { seat: undefined, started: false, parked: undefined, hold: undefined };
  // Stamps are for readers that were there before; none is left.
  return { ...place, ...gone, leftAt, box: place.box && { ...place.box, stamp: 0 } };
}

function savedBeside({ mail, ids }: Partial<Beside> = {}) {
  const mails = mail?.all().map(({ from, payload, accounts: payers }) => ({
    ...{ from, payload },
    accounts: payers,
  }));
  return { mails: mails ?? [], ids: ids?.all() ?? [] };
}

/**
 * Puts a record into an engine that is not in use yet. What has expired meanwhile is left out. Codes
 * come before rooms.
 */
export function restoreRecord(record: StateRecord, turns: Turns, codes: MemoryCodes): void {
  if ("code" in record) return codes.restore(record.code);
  if ("misses" in record) return codes.setMisses({ ...codes.misses(), byDigits: record.misses });
  // Written by this very version: what the schema does not name is as the rules left it.
  const room = record.room as unknown as Room;
  turns.restore(room, () => {
    for (const side of sides) restoreBeside(turns, side, room[side], record[side]);
  });
}

/** What is kept beside a room is put back as it came in, and so counts again. */
function restoreBeside(
  turns: Turns,
  side: Side,
  place: Place,
  { mails, ids }: z.output<typeof besideSchema>,
): void {
  const { box } = place;
  place.ids = undefined;
  for (const [id, seq] of ids) remember(turns, side, place, id, seq);
  if (box === undefined) return;
  turns.count("mailboxes", 1);
  box.last = box.before;
  box.bytes = 0;
  for (const [index, mail] of mails.entries()) {
    store(turns, side, box, { ...mail, bytes: byteLength(mail.payload), stamp: index + 1 });
  }
}
