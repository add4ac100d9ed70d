import { z } from "zod";
import { accountKinds } from "../../base/account.ts";
import type { AppId, Code } from "../../base/ids.ts";
import { parseAppId, parseCode } from "../../base/ids.ts";
import type { CodeRecord } from "./codes.ts";
import { Mailbox, RememberedIds } from "./mailboxes.ts";
import type { MemoryState, Place } from "./rooms.ts";

/**
 * A piece of what outlives a process that was stopped in order: a code, or a room with its mail, with
 * the moments at which they expire. Seats and held frames belong to sockets, which end with it.
 */
export type StateRecord = z.output<typeof recordSchema>;

const ms = z.number().finite();
const count = z.number().int().min(0);

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

/** `isSite` is what an older state has in place of the kind. */
const account = z
  .object({
    key: z.string(),
    kind: z.enum(accountKinds).optional(),
    isSite: z.boolean().optional(),
  })
  .transform(({ key, kind, isSite }) => ({ key, kind: kind ?? (isSite ? "site" : "client") }));

/** The accounts it counts to. None in states that were written before there were shares. */
const accounts = z.array(account).default([]);

const codeSchema = z.object({
  code,
  appId,
  accounts,
  /** Without one, as the first versions left it, what the shortest codes are allowed. */
  withdrawAt: count.default(250),
  restMs: ms,
  expiresAt: ms,
  state: z.enum(["live", "used", "expired"]),
  dueAt: ms,
});

const mailSchema = z.object({ from: z.enum(["A", "B"]), payload: z.string(), accounts });

const placeSchema = z.object({
  sid: z.string(),
  leftAt: ms.optional(),
  mailbox: z
    .object({
      before: count,
      sent: count,
      refusing: z.boolean(),
      mails: z.array(mailSchema),
    })
    .optional(),
  ids: z.array(z.tuple([z.string(), count])).optional(),
  idAccounts: accounts,
});

const roomSchema = z.object({
  appId,
  /** What it was minted with: a room may outlast the time for which its code rests. */
  code: codeSchema.omit({ dueAt: true }).optional(),
  accounts,
  startedAt: ms,
  emptyAt: ms,
  tokens: count,
  paired: z.boolean(),
  established: z.boolean(),
  A: placeSchema,
  B: placeSchema,
});

export const recordSchema = z.union([
  z.object({ code: codeSchema }),
  /** Misses by the number of digits, from 0 digits on: `withdrawAt` goes by them. */
  z.object({ misses: z.array(count).max(9) }),
  z.object({ room: roomSchema }),
]);

/** All that is held, codes first, made one by one as they are asked for. */
export function* takeSnapshot({ codes, rooms, now }: MemoryState): Iterable<StateRecord> {
  const at = now();
  for (const record of codes.records()) yield { code: savedRecord(record) };
  yield { misses: [...codes.misses.save()] };
  for (const room of rooms.all.values()) {
    yield {
      room: {
        appId: room.appId,
        code: room.code && savedCode(room.code),
        accounts: [...room.accounts],
        startedAt: room.startedAt,
        emptyAt: room.emptyAt ?? at,
        tokens: room.tokens,
        paired: room.paired,
        established: room.established,
        A: savedPlace(room.A, at),
        B: savedPlace(room.B, at),
      },
    };
  }
}

function savedRecord({ accounts, places: _, ...record }: CodeRecord) {
  return { ...record, accounts: [...accounts] };
}

function savedCode(record: CodeRecord) {
  const { dueAt: _, ...code } = savedRecord(record);
  return code;
}

function savedPlace(place: Place, now: number): z.output<typeof placeSchema> {
  const { sid, mailbox, ids } = place;
  return {
    sid,
    leftAt: place.seat === undefined ? place.leftAt : now,
    mailbox: mailbox?.save(),
    ids: ids?.save(),
    idAccounts: [...(ids?.accounts ?? [])],
  };
}

/**
 * Puts a record into an engine that is not in use yet. What has expired meanwhile is left out. Codes
 * come before rooms.
 */
export function restoreRecord(record: StateRecord, into: MemoryState): void {
  if ("code" in record) return into.codes.restore({ ...record.code });
  if ("misses" in record) return into.codes.misses.restore(record.misses);
  const saved = record.room;
  into.rooms.restore(saved.appId, (room) => {
    const code =
      room.code ?? (saved.code && { ...saved.code, dueAt: Number.POSITIVE_INFINITY, places: [] });
    Object.assign(room, { code });
    room.accounts = saved.accounts;
    room.startedAt = saved.startedAt;
    room.emptyAt = saved.emptyAt;
    room.tokens = saved.tokens;
    room.paired = saved.paired;
    room.established = saved.established;
    restorePlace(room.A, saved.A, into);
    restorePlace(room.B, saved.B, into);
  });
}

function restorePlace(
  place: Place,
  saved: z.output<typeof placeSchema>,
  { limits, budget }: MemoryState,
): void {
  place.sid = saved.sid;
  place.leftAt = saved.leftAt;
  if (saved.mailbox) place.mailbox = Mailbox.restore(saved.mailbox, limits, budget);
  if (saved.ids) {
    place.ids = new RememberedIds(budget);
    for (const [id, seq] of saved.ids) place.ids.remember(id, seq, saved.idAccounts);
  }
}
