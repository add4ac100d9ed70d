import type { Cancel, Clock } from "../../base/clock.ts";

/** A node that has not even said that it asks within this time is gone, and its seat's holder too. */
const silentMs = 1_500;
/** One that asks has an answer by then: its own probe ends within 5 s. */
const askingMs = 6_000;

/** What was asked of other nodes about their seats, and is not answered yet. */
export class Questions {
  private asked = 0;
  private readonly open = new Map<
    string,
    { readonly settle: (answer: "alive" | "dead" | "gone") => void; cancel: Cancel }
  >();

  constructor(
    private readonly node: string,
    private readonly clock: Pick<Clock, "after">,
  ) {}

  /** `put` asks it under the id it is given. No answer means dead. */
  async ask(put: (id: string) => Promise<"asked" | "gone">): Promise<"alive" | "dead" | "gone"> {
    const id = `${this.node}/${++this.asked}`;
    const answer = new Promise<"alive" | "dead" | "gone">((settle) => {
      this.open.set(id, { settle, cancel: this.giveUpAfter(id, silentMs) });
    });
    try {
      if ((await put(id)) === "gone") this.close(id, "gone");
    } catch (error) {
      this.close(id, "gone");
      throw error;
    }
    return answer;
  }

  answered(id: string, answer: "asking" | "alive" | "dead" | "gone"): void {
    if (answer !== "asking") return this.close(id, answer);
    const question = this.open.get(id);
    question?.cancel();
    if (question) question.cancel = this.giveUpAfter(id, askingMs);
  }

  private giveUpAfter(id: string, ms: number): Cancel {
    return this.clock.after(ms, () => this.close(id, "dead"));
  }

  private close(id: string, answer: "alive" | "dead" | "gone"): void {
    const question = this.open.get(id);
    this.open.delete(id);
    question?.cancel();
    question?.settle(answer);
  }
}
