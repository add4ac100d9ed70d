import type { AppId, Side } from "../../base/ids.ts";
import type { RelayType } from "../engine.ts";

/** What a node is told about one of its seats. `room.lua` and `relay.ts` write these. */
export type SeatMessage =
  | { readonly kind: "joined"; readonly peerToken: number; readonly peerNode: string }
  | { readonly kind: "left"; readonly peerToken: number }
  | { readonly kind: "mail" | "congested" | "drained" }
  | { readonly kind: "replaced"; readonly why: "same_sid" | "dead" }
  /** Relay to the seat has begun: frames come with numbers above `after`. */
  | { readonly kind: "begun"; readonly after: number }
  | ({ readonly kind: "frame"; readonly fromToken: number; readonly fromNode: string } & Numbered)
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

/** Undefined for what is no message of ours: anybody may publish. */
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
  const [first = "", second = "", third = "", fourth = ""] = rest;
  switch (kind) {
    case "mail":
    case "congested":
    case "drained":
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
    case "frame": {
      const type = fourth as RelayType;
      return {
        kind,
        number: Number(first),
        fromToken: Number(second),
        fromNode: third,
        type,
        frame,
      };
    }
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

export function seatMessageText(kind: "congested" | "drained", to: SeatAddress): string {
  return `${kind} ${to.appId} ${to.side} ${to.token}`;
}
