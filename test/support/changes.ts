import { within } from "./client.ts";

/** Wakes whoever waits for a condition, each time that something has changed. */
export class Changes {
  private readonly waiting = new Set<() => void>();

  changed(): void {
    const woken = [...this.waiting];
    this.waiting.clear();
    for (const wake of woken) wake();
  }

  until(what: string, is: () => boolean): Promise<void> {
    const come = async () => {
      while (!is()) await new Promise<void>((wake) => this.waiting.add(wake));
    };
    return within(what, come());
  }
}
