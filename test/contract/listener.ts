import { expect } from "bun:test";
import type { SeatListener, Waiter } from "../../src/engine/engine.ts";
import { Changes } from "../support/waiting.ts";

/** Keeps what it is told, in order, until a test asks for it. */
class Record {
  private readonly told: string[] = [];
  private readonly changes = new Changes();

  protected hear(event: string): void {
    this.told.push(event);
    this.changes.changed();
  }

  /** What came and was not asked for yet. Says nothing of what is still under way. */
  get unheard(): readonly string[] {
    return this.told;
  }

  /** The next events are exactly these. */
  async hears(...events: readonly string[]): Promise<void> {
    for (const [index, event] of events.entries()) {
      expect(`${index}: ${await this.next(`event "${event}"`)}`).toBe(`${index}: ${event}`);
    }
  }

  /** Waits for `event`. Answers what came before it. */
  async until(event: string): Promise<readonly string[]> {
    const before: string[] = [];
    for (;;) {
      const next = await this.next(`event "${event}" after ${JSON.stringify(before)}`);
      if (next === event) return before;
      before.push(next);
    }
  }

  private next(what: string): Promise<string> {
    return this.changes.until(what, () => this.told.shift());
  }
}

/** A connection in a seat: `relayed <frame>`, `peerJoined`, `replaced <why>`, … */
export class RecordingListener extends Record implements SeatListener {
  /** Its buffer is past the mark: senders have to wait. */
  congested = false;
  alive: () => Promise<boolean> = () => Promise.resolve(true);

  relayed(frame: string): boolean {
    this.hear(`relayed ${frame}`);
    return !this.congested;
  }
  peerJoined(): void {
    this.hear("peerJoined");
  }
  peerLeft(): void {
    this.hear("peerLeft");
  }
  peerCongested(): void {
    this.hear("peerCongested");
  }
  peerDrained(): void {
    this.hear("peerDrained");
  }
  mailStored(): void {
    this.hear("mailStored");
  }
  replaced(why: "same_sid" | "dead"): void {
    this.hear(`replaced ${why}`);
  }
  cutOff(): void {
    this.hear("cutOff");
  }
  probed(): Promise<boolean> {
    this.hear("probed");
    return this.alive();
  }
}

export class RecordingWaiter extends Record implements Waiter {
  vacant(): void {
    this.hear("vacant");
  }
  displaced(): void {
    this.hear("displaced");
  }
}
