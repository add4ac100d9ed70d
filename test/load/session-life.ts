import { closeFrame, textFrame } from "../bench/frames.ts";
import { HttpSocket, member } from "../bench/http-socket.ts";
import { LoadSocket } from "../bench/load-socket.ts";
import { mintRequest, redeemRequest } from "../bench/workloads/codes.ts";
import type { Chance } from "../support/chance.ts";
import { within } from "../support/waiting.ts";

/** An answer may take this long: the server probes the dead for seconds, and machines are busy. */
const patienceMs = 20_000;

/** A socket whose client waits for what it expects. */
class Party {
  readonly opened = Promise.withResolvers<void>();
  readonly closed = Promise.withResolvers<void>();
  private readonly texts: string[] = [];
  private isClosed = false;
  private wake: () => void = () => {};
  readonly socket: LoadSocket;

  constructor(
    port: number,
    readonly appId: string,
    readonly side: "A" | "B",
    readonly sid: string,
  ) {
    this.socket = new LoadSocket(
      { port, appId, side, sid },
      {
        opened: () => this.opened.resolve(),
        text: (_, bytes, start, end) => this.texts.push(bytes.toString("utf8", start, end)),
        turn: () => this.wake(),
        closed: (socket) => {
          this.isClosed = true;
          this.opened.reject(new Error(`Side ${side} was not let in: ${socket.fault}`));
          this.closed.resolve();
          this.wake();
        },
      },
    );
    this.opened.promise.catch(() => {});
    this.socket.connect();
  }

  say(frame: object): void {
    this.socket.send(textFrame(JSON.stringify(frame)));
  }

  /** The next text that holds this; others before it are skipped. */
  async hears(part: string): Promise<string> {
    const come = async () => {
      for (;;) {
        for (let text = this.texts.shift(); text !== undefined; text = this.texts.shift()) {
          if (text.includes(part)) return text;
        }
        if (this.isClosed) throw new Error(`Side ${this.side} ended before ${part}`);
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
      }
    };
    return within(`${part} at side ${this.side}`, come(), patienceMs);
  }
}

/** How a side goes away without a word. */
const cuts = ["reset", "end", "silence"] as const;

/**
 * The lives that pairs may lead, drawn at random: some never meet, some lose a connection in the
 * middle, some come back. Throws when one goes otherwise than it should.
 */
export class SessionLives {
  private answered: (answer: { status: number; body: string }) => void = () => {};
  private readonly http = new HttpSocket((status, body) => this.answered({ status, body }));

  constructor(private readonly port: number) {}

  connect(): Promise<void> {
    return this.http.connect(this.port);
  }

  close(): void {
    this.http.close();
  }

  async live(chance: Chance): Promise<void> {
    const minted = await this.post(mintRequest);
    const appId = member(minted, "appID");
    if (chance.oneIn(10)) return;
    const redeemed = await this.post(redeemRequest(member(minted, "code")));
    if (member(redeemed, "appID") !== appId) throw new Error("A code led to another room");

    const a = this.enter(appId, "A", chance);
    await a.opened.promise;
    if (chance.oneIn(10)) return leave([a], chance);
    const b = this.enter(appId, "B", chance);
    await Promise.all([a.hears("room_full"), b.hears("room_full")]);
    await talk(a, b, chance);
    if (chance.oneIn(2)) return leave([a, b], chance);
    const [lost, other] = chance.oneIn(2) ? [a, b] : [b, a];
    cut(lost, chance);
    if (chance.oneIn(2)) return leave([other], chance);
    const back = new Party(this.port, appId, lost.side, lost.sid);
    await back.opened.promise;
    back.say({ type: "hello", deliveredUpTo: 0 });
    await back.hears("room_full");
    await other.hears("room_full");
    await talk(back, other, chance);
    leave([back, other], chance);
  }

  private enter(appId: string, side: "A" | "B", chance: Chance): Party {
    return new Party(this.port, appId, side, `sid-${chance.below(1_000_000_000)}`);
  }

  private async post(request: Uint8Array): Promise<string> {
    const { promise, resolve } = Promise.withResolvers<{ status: number; body: string }>();
    this.answered = resolve;
    this.http.post(request);
    const { status, body } = await within("an answer", promise, patienceMs);
    if (status !== 200) throw new Error(`${status} ${body}`);
    return body;
  }
}

async function talk(a: Party, b: Party, chance: Chance): Promise<void> {
  for (let n = chance.below(4); n > 0; n--) {
    const [from, to] = chance.oneIn(2) ? [a, b] : [b, a];
    const nonce = `x${chance.below(1_000_000_000)}`;
    if (chance.oneIn(2)) {
      from.say({ type: chance.pick(["offer", "answer", "ice"]), nonce });
      await to.hears(nonce);
    } else {
      to.say({ type: "hello", deliveredUpTo: 0 });
      from.say({ type: "send", to: to.side, payload: nonce });
      const mail = await to.hears(nonce);
      const upTo = Number(/"seq":(\d+)/.exec(mail)?.[1]);
      if (chance.oneIn(2)) to.say({ type: "delivered", upTo });
    }
  }
}

function leave(parties: readonly Party[], chance: Chance): void {
  for (const party of parties) {
    if (chance.oneIn(4)) cut(party, chance);
    else party.socket.send(closeFrame);
  }
}

function cut({ socket }: Party, chance: Chance): void {
  switch (chance.pick(cuts)) {
    case "reset":
      return socket.terminate();
    case "end":
      return socket.end();
    case "silence":
      return socket.fallSilent();
  }
}
