import { duration, wholeNumber } from "../formats.ts";
import { gib, minMessageBytes, type Setting } from "../setting.ts";

/** Rooms and what they hold for their sides. */
export const rooms = [
  {
    variable: "MAX_ROOMS",
    key: "maxRooms",
    schema: wholeNumber(2, 10_000_000),
    default: "100000",
    help: "Rooms at a time, past which new ones are refused with 503; those not minted here get half",
  },
  {
    variable: "RELAY_HOLD",
    key: "relayHoldMs",
    schema: duration("0", "10m"),
    default: "10s",
    help: "How long frames are held for a peer that has just left; 0 never holds any",
  },
  {
    variable: "MAILBOX_MAX_MAILS",
    key: "mailboxMaxMails",
    schema: wholeNumber(1, 1_000_000),
    default: "10000",
    help: "Unacknowledged mails one mailbox holds",
  },
  {
    variable: "MAILBOX_MAX_BYTES",
    key: "mailboxMaxBytes",
    schema: wholeNumber(minMessageBytes, gib),
    default: "4194304",
    help: "Bytes of payload one mailbox holds, at least `WS_MAX_MSG`",
  },
  {
    variable: "MAIL_TOTAL_BYTES",
    key: "mailTotalBytes",
    schema: wholeNumber(minMessageBytes, 1_024 * gib),
    default: "268435456",
    help: "What mail, held frames and ids of mail count together, of which one client gets an eighth; at least `WS_MAX_MSG`, and 16 times that for any mail to fit",
  },
] as const satisfies readonly Setting[];
