import type { Side } from "../../base/ids.ts";
import { remember, store } from "../rules/mail.ts";
import { byteLength } from "../rules/text.ts";
import { type Place, type Room, type Stored, sides } from "../rules/turn.ts";
import type { KeptCode, MemoryCodes } from "./codes.ts";
import type { Beside, MemoryRooms } from "./rooms.ts";

/**
 * State that outlives a process: a code, or a room with its mail, with its expiry. Seats and held frames are
 * not saved, since sockets end with the process.
 */
export type StateRecord =
  /** Misses by the number of digits: a code's `withdrawAt` refers to them. `at`: when the state was saved. */
  | { readonly misses: Readonly<Record<string, number>>; readonly at: number }
  | { readonly code: KeptCode }
  | { readonly room: Room; readonly A: SavedBeside; readonly B: SavedBeside };

interface SavedBeside {
  readonly mails: readonly Pick<Stored, "from" | "payload" | "accounts">[];
  readonly ids: readonly (readonly [id: string, seq: number])[];
}

/** Generates records of the whole state, codes before rooms. */
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
  // Stamps only matter to readers that stay connected, and none does after a restart.
  return { ...place, ...gone, leftAt, box: place.box && { ...place.box, stamp: 0 } };
}

function savedBeside({ mail, ids }: Partial<Beside> = {}): SavedBeside {
  const mails = mail?.all().map(({ from, payload, accounts }) => ({ from, payload, accounts }));
  return { mails: mails ?? [], ids: ids?.all() ?? [] };
}

/**
 * Restores records, in order, into an engine that is not in use yet. Skips expired ones. If the clock was set
 * back since the state was saved, all times of records are set back too, so nothing lasts longer.
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

/** The names of all fields of records that are times. */
const times = ["expiresAt", "freeAt", "dueAt", "startedAt", "emptyAt", "leftAt"] as const;

function setBack(part: object, byMs: number): void {
  if (byMs === 0) return;
  const record: Partial<Record<(typeof times)[number], number>> & Pick<Place, "guard"> = part;
  for (const name of times) if (record[name] !== undefined) record[name] -= byMs;
  if (record.guard) record.guard.until -= byMs;
}

/** Restores the data beside a room through the rules, so that it is counted. */
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
