import type { Side } from "../../src/base/ids.ts";
import { SignalingClient } from "../../src/client/client.ts";
import type { Chance } from "../support/chance.ts";
import { ClientSocket, type Conn, type Dial } from "./network.ts";
import type { Process, Time } from "./time.ts";

/** Invalid frames that a client may send. They must not affect other clients. */
const nonsense = [
  "{",
  "[1]",
  "null",
  '{"type":7}',
  '{"type":"later"}',
  '{"type":"send","to":"C","payload":"x"}',
  '{"type":"send","to":"A"}',
  '{"type":"delivered","upTo":"all"}',
  '{"type":"delivered","upTo":0}',
  '{"type":"hello","deliveredUpTo":-1}',
  '{"type":"telemetry","event":"ice-connected","mode":"relay"}',
  '{"type":"telemetry","event":"ice-failed","reason":"s3cr3t"}',
] as const;

/** The kinds of client that the protocol names. */
export const kinds = ["v2", "signal", "mailbox", "plain"] as const;
export type Kind = (typeof kinds)[number];

/** What a client needs from the world. */
export interface Surroundings {
  readonly time: Time;
  readonly url: string;
  readonly maxFrameBytes: number;
  /** Clients send nothing any more. */
  readonly isQuiet: boolean;
  /** Connects the socket to a server, if there is one. */
  dial(socket: ClientSocket, party: Party, dial: Dial): void;
}

/** Part of all private data of clients. It must never appear in a log. */
export const secret = "s3cr3t";

/** One client of one side of a room. */
export abstract class Party {
  readonly process: Process = { dead: false, stoppedUntil: 0 };
  readonly conns: Conn[] = [];
  /** The highest seq this client has processed. */
  watermark = 0;
  frames = 0;
  mails = 0;
  hasLeft = false;
  private readonly isSilent: boolean;

  constructor(
    protected readonly around: Surroundings,
    /** Its name in frames and reports. */
    readonly id: string,
    readonly kind: Kind,
    readonly appId: string,
    readonly side: Side,
    readonly address: string,
    readonly draws: Chance,
    readonly sid: string,
  ) {
    // A silent client learns only from frames of others that it lost its seat.
    this.isSilent = draws.oneIn(6);
  }

  get reads(): boolean {
    return this.kind !== "signal";
  }

  get conn(): Conn | undefined {
    return this.conns.at(-1);
  }

  /** Sends a text unchanged. */
  write(text: string): void {
    this.conn?.client.send(text);
  }

  abstract connect(): void;
  abstract relay(type: "offer" | "answer" | "ice" | "sender_ready", bytes: number): void;
  abstract mail(bytes: number): void;
  /** Closes the connection and does not come back. */
  abstract leave(): void;
  /** The user's machine switches to another network. */
  abstract changeNetwork(): void;

  start(): this {
    this.around.time.as(this.process, () => {
      this.connect();
      this.around.time.after(this.draws.below(4_000), () => this.live());
    });
    return this;
  }

  /** The process dies. The operating system closes its sockets, unless the machine is gone too. */
  vanish(isMachineGone: boolean): void {
    this.hasLeft = true;
    this.process.dead = true;
    if (isMachineGone) this.conn?.loseNetwork();
    this.conn?.client.vanish();
  }

  protected fields(bytes: number) {
    const pad = bytes > 0 ? { pad: "x".repeat(bytes) } : {};
    return { by: this.id, n: ++this.frames, sdp: secret, ...pad };
  }

  protected payload(bytes: number): string {
    return `${this.id}:${++this.mails}:${secret}${"x".repeat(bytes)}`;
  }

  /** Does something random at random times. */
  private live(): void {
    if (this.hasLeft || this.isSilent || this.around.isQuiet) return;
    const { draws } = this;
    this.around.time.after(4_000 + draws.below(16_000), () => this.live());
    this.act(draws);
  }

  act(draws: Chance): void {
    if (draws.oneIn(50)) return this.write(draws.pick(nonsense));
    const large = draws.oneIn(40) ? draws.below(this.around.maxFrameBytes - 400) : 0;
    if (this.kind !== "signal" && draws.oneIn(2)) return this.mail(large);
    const count = draws.oneIn(25) ? 20 : 1 + draws.below(2);
    for (let i = 0; i < count; i++) this.relay(draws.oneIn(20) ? "offer" : "ice", large);
  }
}

/** The client of this repository. */
class RealParty extends Party {
  client: SignalingClient | undefined;

  connect(): void {
    const party = this;
    class Socket extends ClientSocket {
      constructor(url: string, protocol: string) {
        super();
        party.around.dial(this, party, { url, protocol });
      }
    }
    this.client = new SignalingClient({
      ...{ url: this.around.url, appId: this.appId, side: this.side, sid: this.sid },
      deliveredUpTo: this.watermark,
      WebSocket: Socket as unknown as new (url: string, protocol: string) => WebSocket,
      on: {
        mail: (_, seq) => {
          this.watermark = Math.max(this.watermark, seq);
        },
        peerJoined: () => {
          if (this.side === "A" && this.draws.oneIn(2)) this.relay("offer", 0);
        },
        relay: ({ type }) => {
          if (type === "offer") this.relay("answer", 0);
        },
      },
    });
  }

  relay(type: "offer" | "answer" | "ice" | "sender_ready", bytes: number): void {
    this.client?.relay({ type, ...this.fields(bytes) });
  }

  mail(bytes: number): void {
    // Rejected when the client leaves first.
    this.client?.send(this.payload(bytes)).catch(() => {});
  }

  leave(): void {
    this.hasLeft = true;
    this.client?.close();
  }

  changeNetwork(): void {
    this.conn?.loseNetwork();
    this.client?.reconnect();
  }
}

/** Habits of real clients of the first version. */
interface Habits {
  /** It treats its first close as final, but its socket reconnects forever and never sends again. */
  readonly isZombie: boolean;
  /** It acknowledges mail only sometimes. */
  readonly isLazy: boolean;
  /** It sends no hello. Only plain clients do this. */
  readonly isShy: boolean;
}

/** A client of the first version, which knows nothing of `nt.v2`. */
class RawParty extends Party {
  private tries = 0;
  private isMute = false;
  private socket: ClientSocket | undefined;
  private readonly habits: Habits = {
    isZombie: this.kind === "mailbox" && this.draws.oneIn(6),
    isLazy: this.draws.oneIn(4),
    isShy: this.kind === "plain" && this.draws.oneIn(4),
  };

  connect(): void {
    if (this.hasLeft) return;
    const socket = new ClientSocket();
    this.socket = socket;
    const query = new URLSearchParams({ appID: this.appId, side: this.side });
    if (this.kind === "mailbox") query.set("sid", this.sid);
    const isBrowser = this.kind === "mailbox" && !this.habits.isLazy;
    socket.onopen = () => {
      this.tries = 0;
      if (!this.isMute && !this.habits.isShy) socket.send(this.hello());
    };
    socket.onmessage = ({ data }) => this.received(JSON.parse(data) as Record<string, unknown>);
    socket.onclose = () => {
      if (this.socket === socket) this.lost();
    };
    this.around.dial(socket, this, {
      url: `${this.around.url.replace(/^http/, "ws")}/ws?${query}`,
      protocol: "",
      headers: isBrowser ? { origin: "https://app.example", "user-agent": "Mozilla/5.0" } : {},
      losesEarly: !isBrowser,
    });
  }

  private hello(): string {
    if (this.kind === "signal") return JSON.stringify({ type: "hello", side: this.side });
    const sessionId = this.kind === "mailbox" ? this.sid : undefined;
    return JSON.stringify({ type: "hello", sessionId, deliveredUpTo: this.watermark });
  }

  private lost(): void {
    this.isMute ||= this.habits.isZombie;
    if (this.hasLeft) return;
    // The CLI gives up after 6 tries, and its user starts it again.
    const hasGivenUp = this.kind === "signal" && this.tries >= 6;
    if (hasGivenUp) this.tries = 0;
    const backOffMs = Math.min(5_000, (100 + this.draws.below(150)) * 2 ** this.tries++);
    this.around.time.after(hasGivenUp ? 8_000 : backOffMs, () => this.connect(), this.process);
  }

  private received(frame: Record<string, unknown>): void {
    if (this.isMute) return;
    switch (frame["type"]) {
      case "room_full":
        if (this.side === "A" && this.kind === "signal") this.relay("offer", 0);
        return;
      case "offer":
        this.relay("answer", 0);
        return this.relay("ice", 0);
      case "send":
      case "deliver":
        return this.delivered(frame["seq"] as number);
    }
  }

  private delivered(seq: number): void {
    if (!this.reads) return;
    this.watermark = Math.max(this.watermark, seq);
    if (this.habits.isLazy && !this.draws.oneIn(3)) return;
    this.tell({ type: "delivered", upTo: this.watermark });
  }

  private tell(frame: object): void {
    this.write(JSON.stringify(frame));
  }

  override write(text: string): void {
    if (!this.isMute) this.socket?.send(text);
  }

  relay(type: "offer" | "answer" | "ice" | "sender_ready", bytes: number): void {
    if (this.socket?.readyState === 1) this.tell({ type, ...this.fields(bytes) });
  }

  mail(bytes: number): void {
    if (this.socket?.readyState !== 1 || this.isMute) return;
    const to = this.side === "A" ? "B" : "A";
    this.tell({ type: "send", to, payload: this.payload(bytes) });
  }

  leave(): void {
    this.hasLeft = true;
    this.socket?.close();
  }

  changeNetwork(): void {
    const { conn } = this;
    if (conn === undefined) return;
    conn.loseNetwork();
    // The client's operating system closes the socket on this side only.
    this.around.time.after(50, () => conn.client.fail(1006, ""), this.process);
  }

  /** It will never send again. Its user has to reload it. */
  get isZombie(): boolean {
    return this.isMute;
  }
}

export function isZombie(party: Party): boolean {
  return party instanceof RawParty && party.isZombie;
}

export function newParty(
  around: Surroundings,
  who: Pick<Party, "id" | "kind" | "appId" | "side" | "address" | "draws" | "sid">,
  watermark = 0,
): Party {
  const { id, kind, appId, side, address, draws, sid } = who;
  const Class = kind === "v2" ? RealParty : RawParty;
  const party = new Class(around, id, kind, appId, side, address, draws, sid);
  party.watermark = watermark;
  return party.start();
}
