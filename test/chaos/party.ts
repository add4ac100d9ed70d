import { SignalingClient } from "../../src/client/client.ts";

/** One side of a pair: it sends mail after mail, and keeps what it hears. */
export class Party implements Disposable {
  /** The numbers of the mails that the application got, in order. */
  readonly heard: number[] = [];
  /** Mails answered `stored`: it sends one after the other. */
  stored = 0;
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

  get isOnline(): boolean {
    return this.client.state === "online";
  }

  get state(): string {
    return this.client.state;
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
      this.stored++;
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
        mail: (payload) => this.heard.push(Number(payload)),
      },
    });
  }
}
