import type { Cancel, Clock } from "../../base/clock.ts";
import type { AppId, Side } from "../../base/ids.ts";
import type { RelayType } from "../engine.ts";

/** A message to a node about one of its seats. `room.lua` writes them, and `seatMessageText`. */
export type SeatMessage =
  | { readonly kind: "joined"; readonly peerToken: number; readonly peerNode: string }
  | { readonly kind: "left"; readonly peerToken: number }
  /** `vanished`: the other side found that Redis has forgotten the room, and took its seat anew. */
  | { readonly kind: "mail" | "congested" | "drained" | "vanished" }
  | { readonly kind: "replaced"; readonly why: "same_sid" | "dead" }
  /** Relay to the seat has begun: frames come with numbers above `after`. */
  | { readonly kind: "begun"; readonly after: number }
  | ({ readonly kind: "frame" } & Numbered)
  /** Is the seat's connection alive? */
  | { readonly kind: "probe"; readonly question: string; readonly node: string };

/** A relayed frame and its place among all that went to one side of the room. */
export interface Numbered {
  readonly number: number;
  readonly type: RelayType;
  readonly frame: string;
}

export interface SeatAddress {
  readonly appId: AppId;
  readonly side: Side;
  readonly token: number;
}

export type NodeMessage =
  | { readonly to: "seat"; readonly seat: SeatAddress; readonly message: SeatMessage }
  | { readonly to: "waiter"; readonly kind: "vacant" | "displaced"; readonly waiter: string }
  /** `asking`: the occupant is being asked, which takes its time. */
  | {
      readonly to: "asker";
      readonly question: string;
      readonly answer: "asking" | "alive" | "dead" | "gone";
    };

/** Undefined for a text that no node writes: anybody may publish. */
export function parseMessage(text: string): NodeMessage | undefined {
  const lineEnd = text.indexOf("\n");
  const words = (lineEnd === -1 ? text : text.slice(0, lineEnd)).split(" ");
  const [kind, second = "", side, token, ...rest] = words;
  if (kind === "vacant" || kind === "displaced") return { to: "waiter", kind, waiter: second };
  if (kind === "answer") return answerOf(second, side ?? "");
  if (side !== "A" && side !== "B") return undefined;
  const message = seatMessage(kind ?? "", rest, lineEnd === -1 ? "" : text.slice(lineEnd + 1));
  if (message === undefined) return undefined;
  return { to: "seat", seat: { appId: second as AppId, side, token: Number(token) }, message };
}

function seatMessage(kind: string, rest: string[], frame: string): SeatMessage | undefined {
  const [first = "", second = ""] = rest;
  switch (kind) {
    case "mail":
    case "congested":
    case "drained":
    case "vanished":
      return { kind };
    case "left":
      return { kind, peerToken: Number(first) };
    case "joined":
      return { kind, peerToken: Number(first), peerNode: second };
    case "replaced":
      return { kind, why: first === "dead" ? "dead" : "same_sid" };
    case "begun":
      return { kind, after: Number(first) };
    case "probe":
      return { kind, question: first, node: second };
    case "frame":
      return { kind, number: Number(first), type: second as RelayType, frame };
    default:
      return undefined;
  }
}

function answerOf(question: string, answer: string): NodeMessage | undefined {
  switch (answer) {
    case "asking":
    case "alive":
    case "dead":
    case "gone":
      return { to: "asker", question, answer };
    default:
      return undefined;
  }
}

/** An entry of a ring: `<number> <type> <frame>`. */
export function parseRingEntry(entry: string): Numbered {
  const first = entry.indexOf(" ");
  const second = entry.indexOf(" ", first + 1);
  return {
    number: Number(entry.slice(0, first)),
    type: entry.slice(first + 1, second) as RelayType,
    frame: entry.slice(second + 1),
  };
}

export function seatMessageText(
  kind: "congested" | "drained" | "vanished",
  to: SeatAddress,
): string {
  return `${kind} ${to.appId} ${to.side} ${to.token}`;
}

/** A node that has not answered `asking` by then is gone, and its seat's holder with it. */
const silentMs = 1_500;
/** A node that is asking answers by then: its own probe ends within 5 s. */
const askingMs = 6_000;

/** Questions to other nodes about their seats that are not answered yet. */
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

  /** `send` sends the question with the id that it is given. No answer means dead. */
  async ask(send: (id: string) => Promise<"asked" | "gone">): Promise<"alive" | "dead" | "gone"> {
    const id = `${this.node}/${++this.asked}`;
    const answer = new Promise<"alive" | "dead" | "gone">((settle) => {
      this.open.set(id, { settle, cancel: this.giveUpAfter(id, silentMs) });
    });
    try {
      if ((await send(id)) === "gone") this.close(id, "gone");
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
