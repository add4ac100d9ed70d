import { type ClientOptions, SignalingClient } from "../../src/client/client.ts";
import { Changes } from "./waiting.ts";

export interface TalkerOptions extends Omit<ClientOptions, "on"> {
  /** From one mail that is stored to the next, ms. */
  readonly everyMs: number;
  /** The n-th mail, which begins with its number; that number unless given. */
  readonly payloadOf?: (n: number) => unknown;
}

/** One side of a pair: it sends numbered mail, one after the other, and keeps the numbers that it hears. */
export class Talker implements Disposable {
  /** The numbers of the mails that the application got, in order. */
  readonly heard: number[] = [];
  /** When they came, and when each of its own was answered `stored`, by `performance.now()`. */
  readonly heardAt: number[] = [];
  readonly storedAt: number[] = [];
  /** The numbers of the other side's frames, in order. */
  readonly frames: number[] = [];
  readonly changes = new Changes();
  /** Mails handed to the client, and those since it got its seat. */
  sent = 0;
  sentHere = 0;
  /** How often it got its seat. */
  arrivals = 0;
  private readonly client: SignalingClient;
  private over = false;
  private talking: Promise<void> = Promise.resolve();

  constructor(private readonly options: TalkerOptions) {
    this.client = new SignalingClient({
      ...options,
      on: {
        welcome: () => {
          this.arrivals++;
          this.sentHere = 0;
          this.changes.changed();
        },
        relay: (frame) => this.frames.push(Number(frame["number"])),
        mail: (payload) => {
          this.heard.push(Number.parseInt(String(payload), 10));
          this.heardAt.push(performance.now());
          this.changes.changed();
        },
      },
    });
  }

  get isOnline(): boolean {
    return this.client.state === "online";
  }

  get state(): string {
    return this.client.state;
  }

  get stored(): number {
    return this.storedAt.length;
  }

  relay(number: number): void {
    this.client.relay({ type: "ice", candidate: null, number });
  }

  talk(firstMs = 0): void {
    this.talking = this.sendOn(firstMs);
    // Rejected when the client is at its end: whoever waits for the last mail learns it.
    this.talking.catch(() => {});
  }

  /** Resolves when the last mail is stored. */
  fallSilent(): Promise<void> {
    this.over = true;
    return this.talking;
  }

  /** What is wrong with what it heard of the other's mail, which is all stored; undefined if nothing is. */
  faultIn({ sent }: Talker): string | undefined {
    const wrong = this.heard.findIndex((number, i) => number !== i);
    if (wrong !== -1) return `mail ${this.heard[wrong]} came as number ${wrong}`;
    if (this.heard.length === sent) return undefined;
    return `${this.heard.length} of ${sent} mails were heard (${this.state})`;
  }

  [Symbol.dispose](): void {
    this.over = true;
    this.client.close();
  }

  private async sendOn(firstMs: number): Promise<void> {
    const { everyMs, payloadOf = (n: number) => n } = this.options;
    await Bun.sleep(firstMs);
    while (!this.over) {
      const stored = this.client.send(payloadOf(this.sent++));
      this.sentHere++;
      this.changes.changed();
      await stored;
      this.storedAt.push(performance.now());
      await Bun.sleep(everyMs);
    }
  }
}
