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
  guard: z.looseObject({ until: ms }).optional(),
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
  /** Misses by the number of digits: `withdrawAt` goes by them. `at`: when all was saved. */
  z.object({ misses: z.record(z.string(), count), at: ms.optional() }),
  z.object({ room: roomSchema, A: besideSchema, B: besideSchema }),
]);

/** All that is held, codes before rooms, made one by one as they are asked for. */
export function* takeSnapshot(
  turns: Turns,
  codes: MemoryCodes,
  now: () => number,
): Iterable<StateRecord> {
  const at = now();
  yield { misses: { ...codes.misses().byDigits }, at };
  for (const record of codes.records()) {
    yield { code: { ...record, accounts: [...record.accounts] } };
  }
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
 * Puts records, in their order, into an engine that is not in use yet. What has expired meanwhile is left
 * out. Where the clock was set back since they were saved, all their times are: nothing lasts longer by that.
 */
export function restorer(turns: Turns, codes: MemoryCodes, now: () => number) {
  let setBackMs = 0;
  return (record: StateRecord): void => {
    if ("misses" in record) {
      setBackMs = Math.max(0, (record.at ?? 0) - now());
      return codes.setMisses({ ...codes.misses(), byDigits: record.misses });
    }
    if ("code" in record) {
      const { code } = record;
      setBack(code, setBackMs);
      return codes.restore(code);
    }
    const { room: saved } = record;
    for (const part of [saved, saved.A, saved.B]) setBack(part, setBackMs);
    // Written by this very version: what the schema does not name is as the rules left it.
    const room = saved as unknown as Room;
    turns.restore(room, () => {
      for (const side of sides) restoreBeside(turns, side, room[side], record[side]);
    });
  };
}

/** All times of records, by their names. */
const times = ["expiresAt", "freeAt", "dueAt", "startedAt", "emptyAt", "leftAt"] as const;

function setBack(
  record: Partial<Record<(typeof times)[number], number | undefined>> & {
    guard?: { until: number } | undefined;
  },
  byMs: number,
): void {
  if (byMs === 0) return;
  for (const name of times) if (record[name] !== undefined) record[name] -= byMs;
  if (record.guard) record.guard.until -= byMs;
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
