import { expect } from "bun:test";
import type { Account } from "../../src/base/account.ts";
import { type AppId, type Code, newAppId, type Side } from "../../src/base/ids.ts";
import type {
  Claimable,
  CodeEntry,
  Engine,
  Mail,
  NewCode,
  Seat,
  Taken,
} from "../../src/engine/engine.ts";
import { RecordingListener } from "./listener.ts";

/** Somebody in a seat. */
export interface Seated {
  readonly seat: Seat;
  readonly taken: Taken;
  readonly listener: RecordingListener;
}

export interface SitOptions {
  readonly sid?: string;
  readonly how?: Claimable;
  readonly accounts?: readonly Account[];
}

/** What `take` answers, with a listener of its own. */
export async function tryToSit(
  engine: Engine,
  appId: AppId,
  side: Side,
  { sid = "", how = "free", accounts = [] }: SitOptions = {},
) {
  const listener = new RecordingListener();
  const newcomer = { appId, side, sid, accounts, listener };
  const answer = await engine.seats.take(newcomer, how);
  return { answer, listener };
}

/** Takes the seat. Where frames are held for it, the relay to it has not begun. */
export async function sit(
  engine: Engine,
  appId: AppId,
  side: Side,
  options: SitOptions = {},
): Promise<Seated> {
  const { answer, listener } = await tryToSit(engine, appId, side, options);
  if (answer.outcome !== "taken") throw new Error(`Side ${side} got ${JSON.stringify(answer)}`);
  return { seat: answer.seat, taken: answer, listener };
}

/** Takes the seat and starts the relay to it, with what was held. */
export async function join(
  engine: Engine,
  appId: AppId,
  side: Side,
  options: SitOptions = {},
): Promise<Seated> {
  const seated = await sit(engine, appId, side, options);
  if (seated.taken.held > 0) await engine.relay.start(seated.seat, false);
  return seated;
}

/** Both sides of a room, started; what they heard on the way is heard. */
export async function pair(
  engine: Engine,
  appId: AppId = newAppId(),
  accounts: readonly Account[] = [],
) {
  const a = await join(engine, appId, "A", { accounts });
  const b = await join(engine, appId, "B");
  await a.listener.until("peerJoined");
  return { appId, a, b };
}

/**
 * Publishes to a peer that is congested. The sender learns of that by the answer or, where it was not
 * known yet, by the next that it hears.
 */
export async function publishCongested(engine: Engine, { seat, listener }: Seated, frame: string) {
  const outcome = await engine.relay.publish(seat, frame, "ice");
  if (outcome === "delivered") await listener.hears("peerCongested");
  else expect(outcome).toBe("congested");
}

/** Mail without an id from a client that can be told. */
export function mail(payload: string, id?: string) {
  return { payload, id, strict: false };
}

export function strictMail(payload: string) {
  return { payload, id: undefined, strict: true };
}

/** Sends each of `payloads` and answers the outcomes. */
export async function sendAll(engine: Engine, seat: Seat, to: Side, payloads: readonly string[]) {
  const outcomes: string[] = [];
  for (const payload of payloads) {
    outcomes.push((await engine.mailboxes.append(seat, to, mail(payload))).outcome);
  }
  return outcomes;
}

/** Everything stored for this seat after `after`, as "seq payload". */
export async function readAll(engine: Engine, seat: Seat, after = 0): Promise<readonly string[]> {
  return brief(await engine.mailboxes.read(seat, after, Number.MAX_SAFE_INTEGER));
}

export function brief(mails: readonly Mail[]): readonly string[] {
  return mails.map(({ seq, payload }) => `${seq} ${payload}`);
}

export function code(text: string): Code {
  return text as Code;
}

export function newCode(entry: Partial<NewCode> = {}): NewCode {
  return { appId: newAppId(), ttlMs: 60_000, restMs: 600_000, accounts: [], ...entry };
}

/** The accounts of a client that is told by its own name only. */
export function client(key: string): readonly [Account] {
  return [{ key, kind: "client" }];
}

/** The accounts of one /64, of a customer of a site. */
export function subscriber(key: string, customer: string, site: string): readonly Account[] {
  return [
    { key: `${customer}/${key}`, kind: "client" },
    { key: customer, kind: "customer" },
    { key: site, kind: "site" },
  ];
}

export const noCodeLimits = {
  maxLive: 10_000,
  maxUsed: 10_000,
  maxHeld: { client: 10_000, customer: 10_000, site: 10_000, shared: 10_000 },
  allowances: [{ upToRecent: 10_000, misses: 10_000 }],
} as const;

/** Takes the code out as somebody whose misses are held against nobody. Undefined when it is not to be had. */
export async function take(engine: Engine, text: string): Promise<CodeEntry | undefined> {
  const guess = await engine.codes.guess(code(text), [], 0);
  return guess.outcome === "taken" ? guess.entry : undefined;
}

/** The codes there are at this moment. */
export async function countCodes(engine: Engine) {
  await engine.sweep();
  const { codesLive, codesResting } = engine.sizes();
  return { live: codesLive, resting: codesResting };
}

/** Mints `text` for a room, and answers the room. */
export async function mint(engine: Engine, text: string, entry: Partial<NewCode> = {}) {
  const wanted = newCode(entry);
  const claim = await engine.codes.claim([code(text)], wanted, noCodeLimits);
  if (claim.outcome !== "claimed") throw new Error(`Code ${text} got ${JSON.stringify(claim)}`);
  return wanted.appId;
}

/** `count` calls under way at the same time. */
export function race<T>(count: number, run: (index: number) => T | Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: count }, async (_, index) => run(index)));
}
