import type { Code } from "../../../base/ids.ts";
import {
  type CodeRecord,
  type CodesTurn,
  claim,
  type Guesser,
  guess,
  type Misses,
  recentMisses,
} from "../../rules/codes.ts";
import { call, format, pack, parse, unpack } from "./lua.ts";
import { json, keyOf, numberAt, present } from "./present.ts";
import { runTurn, type TurnReply } from "./turn.ts";

// Operations on the codes inside Redis.

/** Redis deletes a key this long after its data has expired. */
const collectedAfterMs = 60_000;

/** How many members of a set have not expired. The score of a member is when it expires. */
function countIn(set: string): number {
  return call<number>("ZCOUNT", keyOf(set), `(${format("%.0f", present.now)}`, "(+inf");
}

/** Deletes the expired members of a set. It may run at any time: `countIn` ignores them. */
function collect(set: string): void {
  call("ZREMRANGEBYSCORE", keyOf(set), "-inf", present.now);
}

function addTo(set: string, member: string, till: number): void {
  call("ZADD", keyOf(set), till, member);
}

function keep(name: string, record: unknown, till: number): void {
  call("SET", keyOf(name), pack(record), "PX", till - present.now + collectedAfterMs);
}

function kept<T>(name: string): T | undefined {
  const text = call<string | false>("GET", keyOf(name));
  return text === false ? undefined : unpack<T>(text);
}

export function noMisses(): Misses {
  return { window: 0, current: 0, previous: 0, byDigits: {} };
}

class RedisCodes implements CodesTurn {
  readonly now = present.now;
  readonly windowMs = present.common.limits.redeemWindowMs;
  private knownMisses: Misses | undefined;
  private readonly writes: (() => void)[] = [];

  code(code: Code): CodeRecord | undefined {
    const record = kept<CodeRecord>(`code:${code}`);
    return record !== undefined && this.now < record.freeAt ? record : undefined;
  }

  claimed(record: CodeRecord): void {
    this.writes.push(() => {
      addTo("live", record.code, record.expiresAt);
      this.rest(record);
    });
  }

  taken(record: CodeRecord): void {
    this.writes.push(() => {
      call("ZREM", keyOf("live"), record.code);
      this.rest(record);
    });
  }

  private rest(record: CodeRecord): void {
    const { code, appId, accounts, freeAt } = record;
    addTo("used", code, freeAt);
    for (const { key } of accounts) {
      const held = `held:${key}`;
      collect(held);
      addTo(held, code, freeAt);
      const last = call<string[]>("ZRANGE", keyOf(held), -1, -1, "WITHSCORES");
      const end = numberAt(last[1]);
      call("PEXPIRE", keyOf(held), end - this.now + collectedAfterMs);
      addTo("clients", key, end);
    }
    keep(`code:${code}`, record, freeAt);
    call("SET", keyOf(`room:${appId}`), code, "PX", freeAt - this.now + collectedAfterMs);
  }

  live(): number {
    return countIn("live");
  }

  inUse(): number {
    return countIn("used");
  }

  heldBy(account: string): number {
    return countIn(`held:${account}`);
  }

  firstFree(account: string): number {
    const [from, till] = [`(${format("%.0f", this.now)}`, "+inf"];
    const held = keyOf(`held:${account}`);
    const first = call<string[]>("ZRANGEBYSCORE", held, from, till, "WITHSCORES", "LIMIT", 0, 1);
    return numberAt(first[1]);
  }

  misses(): Misses {
    this.knownMisses ??= kept<Misses>("misses") ?? noMisses();
    return this.knownMisses;
  }

  setMisses(misses: Misses): void {
    this.knownMisses = misses;
    // KEEPTTL: `renew` keeps the misses. If they were forgotten, every live code would allow all of them again.
    this.writes.push(() => call("SET", keyOf("misses"), pack(misses), "KEEPTTL"));
  }

  guesser(account: string): Guesser | undefined {
    const guesser = kept<Guesser>(`guesser:${account}`);
    return guesser !== undefined && this.now < guesser.forgetAt ? guesser : undefined;
  }

  guessers(): number {
    return countIn("guessers");
  }

  setGuesser(account: string, guesser: Guesser): void {
    this.writes.push(() => {
      addTo("guessers", account, guesser.forgetAt);
      keep(`guesser:${account}`, guesser, guesser.forgetAt);
    });
  }

  write(): void {
    for (const write of this.writes) write();
  }
}

export interface CodesReply<T> {
  readonly answer: T;
  /** Recent misses of all clients. */
  readonly recent: number;
  /** The reply of the turn at the room whose code was redeemed. */
  readonly turn?: TurnReply | undefined;
}

/**
 * Carries an operation out at most once: a repeated call, after a lost answer, gets the first answer.
 * Undefined when Redis is full and the operation would add data.
 */
function once<T extends { readonly outcome: string }>(
  operation: string,
  step: (codes: CodesTurn) => T,
): CodesReply<T> | undefined {
  const key = keyOf(`operation:${operation}`);
  const done = call<string | false>("GET", key);
  if (done !== false) return parse<CodesReply<T>>(done);
  const codes = new RedisCodes();
  const answer = step(codes);
  const { outcome } = answer;
  if (present.isFull && outcome === "claimed") return undefined;
  codes.write();
  const reply = { answer, recent: recentMisses(codes) };
  if (outcome === "claimed" || outcome === "taken") {
    call("SET", key, json(reply), "PX", present.common.rememberedMs);
  }
  return reply;
}

export function runClaim(operation: string, request: string) {
  const { candidates, entry, limits } = parse<ClaimRequest>(request);
  return once(operation, (codes) => claim(codes, candidates, entry, limits));
}

export function runGuess(operation: string, request: string) {
  const { code, accounts, maxMisses } = parse<GuessRequest>(request);
  const reply = once(operation, (codes) => guess(codes, code, accounts, maxMisses));
  if (reply?.answer.outcome !== "taken") return reply;
  const { appId } = reply.answer.entry;
  if (call<number>("EXISTS", keyOf(`{${appId}}`)) === 0) return reply;
  return { ...reply, turn: runTurn(appId, { verb: "redeem", args: [], fresh: 0 }) };
}

interface ClaimRequest {
  readonly candidates: readonly Code[];
  readonly entry: Parameters<typeof claim>[2];
  readonly limits: Parameters<typeof claim>[3];
}

interface GuessRequest {
  readonly code: Code;
  readonly accounts: Parameters<typeof guess>[2];
  readonly maxMisses: number;
}

/** Sizes over all nodes. Deletes expired entries. */
export function codeSizes(): Record<string, number> {
  for (const set of ["live", "used", "clients", "guessers"]) collect(set);
  const codesLive = countIn("live");
  const codesResting = countIn("used") - codesLive;
  return {
    codesLive,
    codesResting,
    codeClients: countIn("clients"),
    guessers: countIn("guessers"),
  };
}

export function recentMissesNow(): number {
  return recentMisses(new RedisCodes());
}
