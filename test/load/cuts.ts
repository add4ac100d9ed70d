import { expect } from "bun:test";
import { chance } from "../support/chance.ts";
import { type Cut, type Network, type ProxiedConnection, startProxy } from "../support/proxy.ts";
import { type TestServer, testServer } from "../support/server.ts";
import { Talker } from "../support/talker.ts";
import type { Changes } from "../support/waiting.ts";
import { type Heard, MailboxClient } from "./mailbox-client.ts";

/**
 * Pairs that send each other mail without end, while their connections are cut at random: the
 * promise about mail, put to the test. The same seed makes the same choices.
 */
export interface CutsOptions {
  readonly seed: number;
  /** How many connections are cut, over all pairs. */
  readonly cuts: number;
  readonly pairs?: number;
}

export interface CutsReport {
  readonly cuts: Readonly<Record<Cut, number>>;
  readonly mails: number;
}

/** Silence is found fast, so that a cut costs a second at most. */
const serverEnv = { HEARTBEAT: "600ms", RELAY_HOLD: "10s" };
const silenceMs = 600;
const retryMs = 10;
const mailEveryMs = 20;
const ways: readonly Cut[] = ["fin", "reset", "silent"];

/** One side as the scenario drives it, whatever client it is. */
interface Party {
  readonly network: Network;
  readonly changes: Changes;
  /** How often it came to be connected. */
  arrivals(): number;
  isConnected(): boolean;
  /** Mails it has sent since it came to be connected. */
  sentHere(): number;
}

/** Cuts each party's connections, one after the other, each in the midst of its mail. */
async function cutAll(parties: readonly Party[], { seed, cuts }: CutsOptions) {
  const counts = { fin: 0, reset: 0, silent: 0 };
  await Promise.all(
    parties.map(async (party, i) => {
      const random = chance(seed + i).below;
      const share = Math.floor(cuts / parties.length) + (i < cuts % parties.length ? 1 : 0);
      for (let n = 0; n < share; n++) {
        const how = ways[random(ways.length)] as Cut;
        const mails = random(8);
        const ready = () => party.isConnected() && party.sentHere() >= mails;
        await party.changes.until(`mail ${mails} before cut ${n}`, ready);
        const arrivals = party.arrivals();
        await cut(party.network.latest(), moments[random(moments.length)] as Moment, how);
        counts[how]++;
        const back = () => party.arrivals() > arrivals && party.isConnected();
        await party.changes.until(`a new connection after cut ${n} (${how})`, back);
      }
    }),
  );
  return counts;
}

/** At once, in the middle of what is said next, or instead of what is answered next. */
const moments = ["now", "toServer", "toClient"] as const;
type Moment = (typeof moments)[number];

async function cut(connection: ProxiedConnection, moment: Moment, how: Cut): Promise<void> {
  if (moment === "now") connection.cut(how);
  else await connection.cutAtNext(moment, how);
}

// ---- the project's own client ----

/** Every mail reaches the application exactly once and in order. */
export async function ownClientSurvivesCuts(options: CutsOptions): Promise<CutsReport> {
  await using server = await testServer(serverEnv);
  await using parts = new AsyncDisposableStack();
  const pairs = Array.from({ length: options.pairs ?? 40 }, () => {
    const appId = crypto.randomUUID();
    const [a, b] = (["A", "B"] as const).map((side) => {
      const network = parts.use(startProxy(server.port));
      const retry = { minRetryMs: retryMs, maxRetryMs: 5 * retryMs };
      const patience = { ...retry, answerMs: silenceMs, seatMs: 5 * silenceMs };
      const mail = { everyMs: mailEveryMs, payloadOf };
      const talker = parts.use(
        new Talker({ url: network.http, appId, side, ...patience, ...mail }),
      );
      return { talker, network };
    });
    return [a, b] as [OwnParty, OwnParty];
  });

  const all = pairs.flat();
  for (const { talker } of all) talker.talk();
  const parties = all.map(({ talker, network }) => ({
    network,
    changes: talker.changes,
    arrivals: () => talker.arrivals,
    isConnected: () => talker.isOnline,
    sentHere: () => talker.sentHere,
  }));
  const cuts = await cutAll(parties, options);
  await Promise.all(all.map(({ talker }) => talker.fallSilent()));

  let mails = 0;
  for (const [{ talker: a }, { talker: b }] of pairs) {
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      await to.changes.until("the last mail", () => to.heard.length >= from.sent);
      expect(to.faultIn(from)).toBeUndefined();
      mails += from.sent;
    }
  }
  return { cuts, mails };
}

interface OwnParty {
  readonly talker: Talker;
  readonly network: Network;
}

// ---- mailbox clients of the first dialect ----

/**
 * Every mail that the server has read reaches the other side's application: once on a connection,
 * in order, and none that the connection's hello had said was processed.
 */
export async function mailboxClientsSurviveCuts(options: CutsOptions): Promise<CutsReport> {
  await using server = await testServer(serverEnv);
  await using parties = new AsyncDisposableStack();
  const pairs = Array.from({ length: options.pairs ?? 40 }, () => {
    const appId = crypto.randomUUID();
    const [a, b] = (["A", "B"] as const).map((side) => mailboxParty(server, appId, side));
    for (const party of [a, b]) parties.use(party as MailboxParty);
    return [a, b] as [MailboxParty, MailboxParty];
  });

  const all = pairs.flat();
  const talking = setInterval(() => {
    for (const { client } of all) client.send(payloadOf(client.written));
  }, mailEveryMs);
  parties.defer(() => clearInterval(talking));
  const cuts = await cutAll(all, options);
  clearInterval(talking);

  let mails = 0;
  for (const pair of pairs) {
    for (const [from, to] of [pair, pair.toReversed()] as [MailboxParty, MailboxParty][]) {
      await heardTheLast(from.client, to.client);
      mails += provesOrder(to.client);
    }
  }
  const read = await server.metric('nt_ws_messages_total{type="send"}');
  const refused = await server.metric('nt_drops_total{reason="replaced"}');
  expect(mails).toBe(read - refused);
  return { cuts, mails };
}

interface MailboxParty extends Party, AsyncDisposable {
  readonly client: MailboxClient;
}

function mailboxParty(server: TestServer, appId: string, side: "A" | "B"): MailboxParty {
  const network = startProxy(server.port);
  const client = new MailboxClient({ ws: network.ws, appId, side, retryMs, silenceMs });
  return {
    client,
    network,
    changes: client.changes,
    arrivals: () => client.opened,
    isConnected: () => client.isOpen,
    sentHere: () => client.writtenHere,
    async [Symbol.asyncDispose]() {
      client[Symbol.dispose]();
      await network[Symbol.asyncDispose]();
    },
  };
}

/** Mail is kept in order: once the last one is here, so is all that the server read before it. */
async function heardTheLast(from: MailboxClient, to: MailboxClient): Promise<void> {
  let last: string;
  const heard = () => to.heard.some((mails) => mails.at(-1)?.payload === last);
  do {
    await from.changes.until("a connection for the last mail", () => from.isOpen);
    const { opened } = from;
    last = payloadOf(from.written);
    from.send(last);
    const lost = from.changes.until("the connection to be lost", () => from.opened > opened);
    await Promise.race([to.changes.until("the last mail", heard), lost]);
  } while (!heard());
}

/** How many mails came, after checking that they are as promised. */
function provesOrder({ heard, watermarks }: MailboxClient): number {
  for (const [connection, mails] of heard.entries()) {
    const seqs = mails.map(({ seq }) => seq);
    const first = seqs[0] ?? 0;
    expect(seqs).toEqual(seqs.map((_, i) => first + i));
    if (first > 0) expect(first).toBe((watermarks[connection] as number) + 1);
  }
  const all = heard.flat();
  const numbers = all.map(({ payload }) => numberOf(payload));
  expect(numbers).toEqual([...new Set(numbers)].toSorted((a, b) => a - b));
  return new Set(all.map(({ seq }: Heard) => seq)).size;
}

// ---- payloads ----

/** Every tenth mail is long enough to be cut in the middle. */
function payloadOf(n: number): string {
  return `${n}:${n % 10 === 9 ? "x".repeat(20_000) : ""}`;
}

function numberOf(payload: string): number {
  return Number.parseInt(payload, 10);
}
