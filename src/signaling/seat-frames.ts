import type { z } from "zod/mini";
import { keptPart } from "../base/kept-part.ts";
import { andThen, type MaybePromise } from "../base/maybe-promise.ts";
import type { Appended, RelayOutcome, Seat } from "../engine/engine.ts";
import type { ServerClose } from "../protocol/closes.ts";
import {
  clientFrames,
  type FrameFault,
  faultsIn,
  maxMailIdLength,
  pong,
  serverFrame,
} from "../protocol/frames.ts";
import { type DropReason, iceFailures, iceModes } from "../telemetry/tally.ts";
import type { Connection, SignalingContext } from "./context.ts";
import type { Pump } from "./pump.ts";
import { rawMember } from "./raw-member.ts";

// Handlers for the frames of a seated peer, except relayed ones. Each returns the outcome of its frame.

export type Fields = Record<string, unknown>;

/** The outcome of a frame. */
export type FrameOutcome =
  | RelayOutcome
  | DropReason
  | "stored"
  | "handled"
  | "ignored"
  /** The engine did not answer. */
  | "unreachable";

/** The connection that sent the frame. */
export interface Sender {
  readonly connection: Connection;
  readonly context: SignalingContext;
}

interface SeatedSender extends Sender {
  /** Undefined once it has lost its seat. */
  readonly pump: Pump | undefined;
  /** Gives up the seat and closes the connection. */
  refuse(reason: ServerClose): void;
}

export const tooMuchHeld =
  "Unfetched frames and mail from this address are at the limit for one address.";

export function hello(sender: SeatedSender, frame: Fields): MaybePromise<FrameOutcome> {
  const { pump } = sender;
  const fields = read(sender, "hello", frame);
  if (pump === undefined) return "replaced";
  const outcome = fields === undefined ? "bad_field" : "handled";
  return andThen(pump.hello(fields?.deliveredUpTo), () => outcome);
}

export function send(
  sender: SeatedSender,
  seat: Seat,
  frame: Fields,
  text: string,
): MaybePromise<FrameOutcome> {
  const v2 = isV2(sender);
  const known = v2 ? frame : { to: frame["to"], payload: frame["payload"] };
  const fields = read(sender, "send", known, idOf(frame));
  const payload = fields && rawMember(text, "payload");
  if (fields === undefined || payload === undefined) return "bad_field";
  const { to, id } = fields;
  const mail = { payload: keptPart(payload, text), id, strict: !v2 };
  return andThen(sender.context.engine.mailboxes.append(seat, to, mail), (result) =>
    appended(sender, result, id),
  );
}

function appended(sender: SeatedSender, result: Appended, id: string | undefined): FrameOutcome {
  switch (result.outcome) {
    case "stored":
      if (id !== undefined) sender.connection.send(serverFrame("stored", { id, seq: result.seq }));
      return "stored";
    case "full":
      drop(sender, "mailbox_full", "mailbox_full", "The mailbox is full: send again later.", id);
      return closeV1(sender, "mailbox_full");
    case "share_full":
      drop(sender, "mail_share", "mail_share", `${tooMuchHeld} Send again later.`, id);
      return closeV1(sender, "mail_share");
    case "replaced":
      sender.context.tally.drops.replaced++;
      return "replaced";
    default:
      return result satisfies never;
  }
}

/** Clients without `nt.v2` get no error frames: only a close shows them that their mail was not stored. */
function closeV1<W extends "mailbox_full" | "mail_share">(sender: SeatedSender, why: W): W {
  if (!isV2(sender)) sender.refuse(why);
  return why;
}

export function delivered(
  sender: SeatedSender,
  seat: Seat,
  frame: Fields,
): MaybePromise<FrameOutcome> {
  const fields = read(sender, "delivered", frame);
  if (fields === undefined) return "bad_field";
  const upTo = Math.min(fields.upTo ?? fields.seq ?? 0, sender.pump?.sentUpTo ?? 0);
  return andThen(sender.context.engine.mailboxes.ack(seat, upTo), () => "handled");
}

export function ping(sender: Sender): FrameOutcome {
  if (!isV2(sender)) return "ignored";
  sender.connection.send(pong);
  return "handled";
}

/** Counts whether a peer connection was established. A client's text never becomes a label. */
export function telemetry(sender: Sender, seat: Seat, frame: Fields): MaybePromise<FrameOutcome> {
  const fields = read(sender, "telemetry", frame);
  const { engine, tally } = sender.context;
  if (fields === undefined) return "bad_field";
  if (fields.event === "ice-failed") {
    tally.failed[labelOf(fields.reason, iceFailures, "ice-failed")]++;
  }
  if (fields.event !== "ice-connected") return "handled";
  return andThen(engine.rooms.establish(seat), (ageMs) => {
    if (ageMs === undefined) return "handled";
    tally.established[labelOf(fields.mode, iceModes, "unspecified")]++;
    tally.firstFlowSeconds.observe(ageMs / 1000);
    return "handled";
  });
}

/** The fields of a frame. Undefined if one of them is invalid: then the frame was dropped. */
function read<T extends "hello" | "send" | "delivered" | "telemetry">(
  sender: Sender,
  type: T,
  frame: Fields,
  id?: string,
): z.output<(typeof clientFrames)[T]["schema"]> | undefined {
  const parsed = clientFrames[type].schema.safeParse(frame);
  if (parsed.success) return parsed.data as z.output<(typeof clientFrames)[T]["schema"]>;
  drop(sender, "bad_field", "bad_field", faultsIn(type, parsed.error), id);
  return undefined;
}

/** Counts a dropped frame and reports it to its client. */
export function drop<R extends DropReason>(
  sender: Sender,
  reason: R,
  code: FrameFault,
  detail: string,
  id?: string,
): R {
  sender.context.tally.drops[reason]++;
  tellFault(sender, code, detail, id);
  return reason;
}

export function tellFault(sender: Sender, code: FrameFault, detail: string, id?: string): void {
  const { id: connection, identity } = sender.connection;
  sender.context.connectionLog?.frameRefused(connection, identity, code, detail);
  tell(sender, () => serverFrame("error", { code, detail, id }));
}

/** Sends a frame that only clients of `nt.v2` get. */
export function tell(sender: Pick<Sender, "connection">, frame: () => string): void {
  if (isV2(sender)) sender.connection.send(frame());
}

/** Every connection without a room uses `nt.v2`. */
function isV2({ connection }: Pick<Sender, "connection">): boolean {
  return connection.identity?.v2 ?? true;
}

/** The id of a frame, if it is valid. Errors repeat it. */
export function idOf({ id }: Fields): string | undefined {
  return typeof id === "string" && id.length <= maxMailIdLength ? id : undefined;
}

/** Maps a client's word to a label of a closed set. */
function labelOf<L extends string>(
  word: string | undefined,
  labels: readonly L[],
  unsaid: L,
): L | "other" {
  const name = word?.trim().toLowerCase() ?? "";
  return name === "" ? unsaid : (labels.find((label) => label === name) ?? "other");
}
