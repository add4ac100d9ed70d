import type { Clock, Random } from "../../base/clock.ts";
import { EngineUnreachable } from "../engine.ts";
import { isRefusal, Link } from "./link.ts";
import { allSteps, type Step } from "./steps.ts";

export interface StoreOptions {
  readonly url: string;
  /** PEM text that a `rediss://` server's certificate is checked against. */
  readonly ca: string | undefined;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly random: Random;
  /** Where this process hears what the scripts have to say to it. */
  readonly channel: string;
  readonly heard: (message: string) => void;
  /** Both connections are up, and this process hears; or not. */
  readonly changed: (up: boolean) => void;
  /** Redis answered, and said no: it is full, it has become a replica, or somebody spoiled a key. */
  readonly refused: (message: string) => void;
  /** Added to Redis's clock for everything that expires; only contract tests move it. */
  readonly offsetMs: () => number;
}

export type Reply = readonly unknown[];

/** Redis, as the engine uses it: steps one way, and a channel of one's own the other way. */
export class Store {
  private readonly commands: Link;
  private readonly ears: Link;
  private wasUp = false;
  /** The least that Redis's clock can show at tick 0 of ours; told anew with every ping. */
  private origin = 0;

  constructor(private readonly options: StoreOptions) {
    const { channel, heard, url, ca, timeoutMs, clock, random } = options;
    const shared = { url, ca, timeoutMs, clock, random, changed: () => this.changed() };
    this.commands = new Link({
      ...shared,
      told: (time, _, answeredAt) => {
        this.origin = time - answeredAt;
      },
      async prepare(client) {
        // Whoever may not ask finds out by the first refusal.
        const role: unknown = await client.send("ROLE", []).catch(() => ["master"]);
        if (!Array.isArray(role) || role[0] !== "master") throw new Error("It is a replica");
        await Promise.all(allSteps.map(({ text }) => client.send("SCRIPT", ["LOAD", text])));
      },
    });
    this.ears = new Link({
      ...shared,
      told: () => {},
      prepare: (client) => client.subscribe(channel, (message) => heard(message)).then(() => {}),
    });
  }

  get isUp(): boolean {
    return this.commands.isUp && this.ears.isUp;
  }

  /** Steps can be run, though what is published may not be heard. */
  get canAsk(): boolean {
    return this.commands.isUp;
  }

  /** ms since both connections were up; 0 while they are. */
  downForMs(): number {
    return Math.max(this.commands.downForMs(), this.ears.downForMs());
  }

  /** Resolves as soon as what is published to this process reaches it. */
  async hearing(): Promise<void> {
    if (this.isUp) return;
    await this.ears.ready();
    await this.commands.ready();
  }

  async open(): Promise<void> {
    await Promise.all([this.commands.open(), this.ears.open()]);
  }

  /** Resolves when everything asked so far is answered, or has waited long enough. */
  async settled(): Promise<void> {
    if (this.commands.isUp) await this.commands.send("PING", []).catch(() => {});
  }

  close(): void {
    this.ears.close();
    this.commands.close();
  }

  /**
   * Runs a step. It changes nothing after the moment at which nobody waits for its answer any more.
   * Rejects with `EngineUnreachable` when no answer came, or none that makes sense.
   */
  async run(step: Step, keys: readonly string[], args: readonly string[]): Promise<Reply> {
    const { clock, timeoutMs, offsetMs } = this.options;
    const deadline = Math.floor(this.origin + clock.ticks() + timeoutMs);
    const rest = [
      String(keys.length),
      ...keys,
      String(deadline),
      String(Math.round(offsetMs())),
      ...args,
    ];
    const reply = await this.evaluate(step, rest);
    if (!Array.isArray(reply)) throw new EngineUnreachable("it answered nonsense");
    if (reply[0] === "late") throw new EngineUnreachable("it was carried out too late");
    return reply;
  }

  async tell(channel: string, message: string): Promise<void> {
    await this.commands.send("PUBLISH", [channel, message]);
  }

  private async evaluate(step: Step, rest: string[]): Promise<unknown> {
    try {
      return await this.commands.send("EVALSHA", [step.sha, ...rest]);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      if (!error.message.startsWith("NOSCRIPT")) throw this.refusal(error.message);
    }
    try {
      return await this.commands.send("EVAL", [step.text, ...rest]);
    } catch (error) {
      throw isRefusal(error) ? this.refusal(error.message) : error;
    }
  }

  private refusal(message: string): EngineUnreachable {
    this.options.refused(message);
    // Under the same name there may be another primary by now.
    if (message.includes("READONLY")) this.commands.drop();
    return new EngineUnreachable(message);
  }

  private changed(): void {
    if (this.isUp === this.wasUp) return;
    this.wasUp = this.isUp;
    this.options.changed(this.wasUp);
  }
}
