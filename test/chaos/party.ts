import { SignalingClient } from "../../src/client/client.ts";

/** One side of a pair: it sends mail after mail, and keeps what it hears. */
export class Party implements Disposable {
  /** The numbers of the mails that the application got, in order. */
  readonly heard: number[] = [];
  /** When, by `performance.now()`. */
  readonly heardAt: number[] = [];
  /** When each mail was answered `stored`, by `performance.now()`: it sends one after the other. */
  readonly storedAt: number[] = [];
  /** The frames that came of the other side's, in order. */
  readonly frames: number[] = [];
  /** How often it came to be connected, and was told that a newer socket has its seat. */
  arrivals = 0;
  replacements = 0;
  private client: SignalingClient;
  private over = false;
  private talking: Promise<void> = Promise.resolve();

  constructor(
    private readonly appId: string,
    private readonly side: "A" | "B",
    private readonly Socket: new (url: string, protocol: string) => WebSocket,
  ) {
    this.client = this.connect(undefined, 0);
  }

  get stored(): number {
    return this.storedAt.length;
  }

  get isOnline(): boolean {
    return this.client.state === "online";
  }

  get state(): string {
    return this.client.state;
  }

  /** Sends a frame. */
  relay(number: number): void {
    this.client.relay({ type: "ice", candidate: null, number });
  }

  talk(everyMs: number): void {
    this.talking = this.sendOn(everyMs);
  }

  /** Resolves when the last mail is stored. */
  async fallSilent(): Promise<void> {
    this.over = true;
    await this.talking;
  }

  [Symbol.dispose](): void {
    this.over = true;
    this.client.close();
  }

  private async sendOn(everyMs: number): Promise<void> {
    while (!this.over) {
      await this.client.send(this.stored);
      this.storedAt.push(performance.now());
      await Bun.sleep(everyMs);
    }
  }

  private connect(sid: string | undefined, deliveredUpTo: number): SignalingClient {
    return new SignalingClient({
      url: "http://anywhere",
      appId: this.appId,
      side: this.side,
      ...(sid === undefined ? {} : { sid }),
      deliveredUpTo,
      WebSocket: this.Socket,
      minRetryMs: 50,
      maxRetryMs: 1_000,
      answerMs: 3_000,
      seatMs: 20_000,
      on: {
        state: (state) => {
          if (state === "online") this.arrivals++;
          if (state === "replaced") this.replacements++;
        },
        relay: (frame) => this.frames.push(Number(frame["number"])),
        mail: (payload) => {
          this.heard.push(Number(payload));
          this.heardAt.push(performance.now());
        },
      },
    });
  }
}
