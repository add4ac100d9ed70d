import type { z } from "zod";
import { andThen, type MaybePromise } from "../base/maybe-promise.ts";
import type { Appended, RelayOutcome, RelayType, Seat } from "../engine/engine.ts";
import type { FrameType, Tally } from "../telemetry/tally.ts";
import { pauseReasons } from "./connection.ts";
import type { Peer } from "./peer.ts";
import {
  deliveredFrame,
  errorFrame,
  type FrameFault,
  helloFrame,
  maxMailIdLength,
  parseObject,
  sendFrame,
  storedFrame,
  telemetryFrame,
  typeOf,
} from "./protocol.ts";
import { sayHello } from "./pump.ts";
import { rawMember } from "./raw-member.ts";
import { countTelemetry } from "./telemetry-frame.ts";

/**
 * What a seated peer's frame does. A promise comes back only when the engine had to be awaited.
 */
export function handleFrame(peer: Peer, text: string): MaybePromise<void> {
  const { seat } = peer;
  if (seat === undefined) return;
  const { tally } = peer.context;
  const bytes = Buffer.byteLength(text);
  const frame = parseObject(text);
  if (frame === undefined) return countMalformed(peer, bytes);
  const type = typeOf(frame);
  count(tally, type, bytes);
  switch (type) {
    case "offer":
    case "answer":
    case "ice":
    case "sender_ready":
      return relay(peer, seat, type, text);
    case "send":
      return send(peer, seat, frame, text);
    case "hello":
      return hello(peer, seat, frame);
    case "delivered":
      return delivered(peer, seat, frame);
    case "telemetry":
      return telemetry(peer, seat, frame);
    case "other":
      return;
    default:
      return type satisfies never;
  }
}

/** What is not one JSON object in UTF-8 is never relayed. */
function countMalformed(peer: Peer, bytes: number): void {
  const { tally } = peer.context;
  count(tally, "other", bytes);
  tally.drops.malformed++;
  fault(peer, "bad_json", "A frame must be one JSON object with a type, in UTF-8.");
}

function count(tally: Tally, type: FrameType, bytes: number): void {
  tally.framesIn[type]++;
  tally.bytesIn[type] += bytes;
  tally.frameSizeIn.observe(bytes);
}

function fault(peer: Peer, code: FrameFault, detail: string, id?: string): void {
  if (peer.identity.v2) peer.connection.send(errorFrame(code, detail, id));
}

// ---- telemetry ----

function telemetry(peer: Peer, seat: Seat, frame: Record<string, unknown>): MaybePromise<void> {
  const parsed = telemetryFrame.safeParse(frame);
  if (parsed.success) return countTelemetry(peer.context, seat, parsed.data);
  peer.context.tally.drops.bad_field++;
  return fault(peer, "bad_field", `telemetry: ${problems(parsed)}.`);
}

const tooMuchHeld =
  "What this address has sent and nobody has fetched is as much as one address may have waiting.";

// ---- relay ----

function relay(peer: Peer, seat: Seat, type: RelayType, text: string): MaybePromise<void> {
  const started = peer.returning?.relays(type === "offer");
  if (started instanceof Promise) return started.then(() => relay(peer, seat, type, text));
  const outcome = peer.context.engine.relay.publish(seat, text, type);
  if (outcome instanceof Promise) return outcome.then((late) => relayed(peer, type, late));
  return relayed(peer, type, outcome);
}

function relayed(peer: Peer, type: RelayType, outcome: RelayOutcome): void {
  const { tally } = peer.context;
  switch (outcome) {
    case "congested":
      return peer.connection.pause(pauseReasons.slowPeer);
    case "delivered":
    case "held":
      return;
    case "no_peer":
    case "hold_full":
      tally.drops[outcome]++;
      return fault(peer, "peer_absent", `The other side is not there: the ${type} was dropped.`);
    case "hold_share":
      tally.drops.hold_share++;
      return fault(peer, "hold_share", `${tooMuchHeld} The ${type} was dropped.`);
    case "replaced":
      tally.drops.replaced++;
      return;
    default:
      return outcome satisfies never;
  }
}

// ---- mail ----

function send(
  peer: Peer,
  seat: Seat,
  frame: Record<string, unknown>,
  text: string,
): MaybePromise<void> {
  const { v2 } = peer.identity;
  const { tally, engine } = peer.context;
  const parsed = sendFrame.safeParse(v2 ? frame : { to: frame["to"], payload: frame["payload"] });
  const payload = parsed.success ? rawMember(text, "payload") : undefined;
  if (!parsed.success || payload === undefined) {
    tally.drops.bad_field++;
    return fault(peer, "bad_field", `send: ${problems(parsed)}.`, idOf(frame));
  }
  const { to, id } = parsed.data;
  const mail = { payload, id, strict: !v2 };
  return andThen(engine.mailboxes.append(seat, to, mail), (result) => appended(peer, result, id));
}

function appended(peer: Peer, result: Appended, id: string | undefined): void {
  const { tally } = peer.context;
  switch (result.outcome) {
    case "stored":
      if (id !== undefined) peer.connection.send(storedFrame(id, result.seq));
      return;
    case "full":
      tally.drops.mailbox_full++;
      if (!peer.identity.v2) return peer.mailRefused("mailbox_full");
      return fault(peer, "mailbox_full", "The mailbox is full: send again later.", id);
    case "share_full":
      tally.drops.mail_share++;
      if (!peer.identity.v2) return peer.mailRefused("mail_share");
      return fault(peer, "mail_share", `${tooMuchHeld} Send again later.`, id);
    case "replaced":
      tally.drops.replaced++;
      return;
    default:
      return result satisfies never;
  }
}

function hello(peer: Peer, seat: Seat, frame: Record<string, unknown>): MaybePromise<void> {
  const parsed = helloFrame.safeParse(frame);
  if (!parsed.success) {
    peer.context.tally.drops.bad_field++;
    fault(peer, "bad_field", `hello: ${problems(parsed)}.`);
  }
  if (peer.pump === undefined) return;
  const upTo = parsed.success ? parsed.data.deliveredUpTo : undefined;
  return sayHello(peer.context.engine.mailboxes, seat, peer.pump, upTo);
}

function delivered(peer: Peer, seat: Seat, frame: Record<string, unknown>): MaybePromise<void> {
  const parsed = deliveredFrame.safeParse(frame);
  if (!parsed.success) {
    peer.context.tally.drops.bad_field++;
    return fault(peer, "bad_field", `delivered: ${problems(parsed)}.`);
  }
  const upTo = Math.min(parsed.data.upTo ?? parsed.data.seq ?? 0, peer.pump?.sentUpTo ?? 0);
  return peer.context.engine.mailboxes.ack(seat, upTo);
}

/** Which field is wrong, and how. Never the value: it may be a secret. */
function problems(parsed: z.ZodSafeParseResult<unknown>): string {
  if (parsed.success) return "payload is missing";
  return parsed.error.issues
    .map(({ path, message }) => [path.join("."), message].filter(Boolean).join(" "))
    .join("; ");
}

/** The id of a frame whose other fields are wrong, if it is one that may be sent back. */
function idOf({ id }: Record<string, unknown>): string | undefined {
  return typeof id === "string" && id.length <= maxMailIdLength ? id : undefined;
}
