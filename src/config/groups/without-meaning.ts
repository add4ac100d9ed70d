import { duration, wholeNumber } from "../formats.ts";
import { gib, type Setting } from "../setting.ts";

/** Settings of the reference server that have nothing to set here: checked, accepted and warned about. */
export const withoutMeaning = [
  {
    variable: "WS_READ_BUF",
    aliases: ["WS_READ_BUFFER"],
    schema: wholeNumber(0, gib),
    default: "4096",
    help: "Read buffer of a connection in bytes",
    noMeaning: "Bun sizes its own buffers",
  },
  {
    variable: "WS_WRITE_BUF",
    aliases: ["WS_WRITE_BUFFER"],
    schema: wholeNumber(0, gib),
    default: "4096",
    help: "Write buffer of a connection in bytes",
    noMeaning: "Bun sizes its own buffers",
  },
  {
    variable: "WS_HANDSHAKE",
    schema: duration("0", "24h"),
    default: "10s",
    help: "Time for a WebSocket upgrade",
    noMeaning: "an upgrade is answered at once",
  },
  {
    variable: "READ_HEADER_TIMEOUT",
    schema: duration("0", "24h"),
    default: "5s",
    help: "Time for the headers of a request",
    noMeaning: "Bun closes slow requests itself",
  },
  {
    variable: "WRITE_TIMEOUT",
    schema: duration("0", "24h"),
    default: "0",
    help: "Time for writing an answer",
    noMeaning: "Bun closes slow requests itself",
  },
  {
    variable: "IDLE_TIMEOUT",
    schema: duration("0", "24h"),
    default: "0",
    help: "Time between two requests on a connection",
    noMeaning: "Bun closes idle connections itself",
  },
] as const satisfies readonly Setting[];
