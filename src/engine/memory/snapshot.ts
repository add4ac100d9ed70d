import type { Side } from "../../base/ids.ts";
import { remember, store } from "../rules/mail.ts";
import { byteLength } from "../rules/text.ts";
import { type Place, type Room, type Stored, sides } from "../rules/turn.ts";
import type { KeptCode, MemoryCodes } from "./codes.ts";
import type { Beside, MemoryRooms } from "./rooms.ts";

/**
 * A piece of what outlives a process that was stopped in order: a code, or a room with its mail, with
 * the moments at which they expire. Seats and held frames belong to sockets, which end with it.
 */
export type StateRecord =
  /** Misses by the number of digits: `withdrawAt` of codes counts from them. `at`: when all was saved. */
  | { readonly misses: Readonly<Record<string, number>>; readonly at: number }
  | { readonly code: KeptCode }
  | { readonly room: Room; readonly A: SavedBeside; readonly B: SavedBeside };

interface SavedBeside {
  readonly mails: readonly Pick<Stored, "from" | "payload" | "accounts">[];
  readonly ids: readonly (readonly [id: string, seq: number])[];
}

/** All that is held, codes before rooms, made one by one as they are asked for. */
export function* takeSnapshot(
  rooms: MemoryRooms,
  codes: MemoryCodes,
  now: () => number,
): Iterable<StateRecord> {
  const at = now();
  yield { misses: codes.misses().byDigits, at };
  for (const code of codes.records()) yield { code };
  for (const { room, A, B } of rooms.kept.values()) {
    if (room === undefined) continue;
    const places = { A: savedPlace(room.A, at), B: savedPlace(room.B, at) };
    const saved = { ...room, emptyAt: room.emptyAt ?? at, ...places };
    yield { room: saved, A: savedBeside(A), B: savedBeside(B) };
  }
}

function savedPlace(place: Place, now: number): Place {
  const leftAt = place.seat === undefined ? place.leftAt : now;
  const gone = { seat: undefined, started: false, parked: undefined, hold: undefined };
  // Stamps are for readers that were connected before: there are no such readers after a restart.
  return { ...place, ...gone, leftAt, box: place.box && { ...place.box, stamp: 0 } };
}

function savedBeside({ mail, ids }: Partial<Beside> = {}): SavedBeside {
  const mails = mail?.all().map(({ from, payload, accounts }) => ({ from, payload, accounts }));
  return { mails: mails ?? [], ids: ids?.all() ?? [] };
}

/**
 * Puts records, in their order, into an engine that is not in use yet. What has expired meanwhile is left
 * out. Where the clock was set back since they were saved, all their times are: nothing lasts longer by that.
 */
export function restorer(rooms: MemoryRooms, codes: MemoryCodes, now: () => number) {
  let setBackMs = 0;
  return (record: StateRecord): void => {
    if ("misses" in record) {
      setBackMs = Math.max(0, record.at - now());
      return codes.setMisses({ ...codes.misses(), byDigits: record.misses });
    }
    if ("code" in record) {
      setBack(record.code, setBackMs);
      return codes.restore(record.code);
    }
    const { room } = record;
    for (const part of [room, room.A, room.B]) setBack(part, setBackMs);
    rooms.restore(room, () => {
      for (const side of sides) restoreBeside(rooms, side, room[side], record[side]);
    });
  };
}

/** All times of records, by their names. */
const times = ["expiresAt", "freeAt", "dueAt", "startedAt", "emptyAt", "leftAt"] as const;

function setBack(part: object, byMs: number): void {
  if (byMs === 0) return;
  const record: Partial<Record<(typeof times)[number], number>> & Pick<Place, "guard"> = part;
  for (const name of times) if (record[name] !== undefined) record[name] -= byMs;
  if (record.guard) record.guard.until -= byMs;
}

/** What is kept beside a room is put back as it came in, and so counts again. */
function restoreBeside(
  rooms: MemoryRooms,
  side: Side,
  place: Place,
  { mails, ids }: SavedBeside,
): void {
  const { box } = place;
  place.ids = undefined;
  for (const [id, seq] of ids) remember(rooms, side, place, id, seq);
  if (box === undefined) return;
  rooms.count("mailboxes", 1);
  box.last = box.before;
  box.bytes = 0;
  for (const [index, mail] of mails.entries()) {
    const { from, payload, accounts } = mail;
    const bytes = byteLength(payload);
    store(rooms, side, box, { from, payload, bytes, accounts, stamp: index + 1 });
  }
}
