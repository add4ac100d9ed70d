import { duration, wholeNumber } from "../formats.ts";
import { maxCount, type Setting } from "../setting.ts";

/** Codes, and what protects them from guessing. */
export const codes = [
  {
    variable: "ROOM_TTL",
    key: "roomTtlMs",
    schema: duration("1s", "168h"),
    default: "10m",
    help: "How long a code can be redeemed, and how long mail waits in an empty room",
  },
  {
    variable: "CODE_DIGITS",
    key: "codeDigits",
    schema: wholeNumber(4, 8),
    default: "4",
    help: "Digits of a code while few are live and nobody guesses",
  },
  {
    variable: "CODE_DIGITS_MAX",
    key: "codeDigitsMax",
    schema: wholeNumber(4, 8),
    default: "8",
    help: "Digits that codes may grow to when many are live or guessed, so that guessing stays hopeless",
  },
  {
    variable: "CODES_PER_CLIENT",
    key: "codesPerClient",
    schema: wholeNumber(0, maxCount),
    default: "100",
    help: "Codes one client may hold at a time, used and expired ones counted for another `ROOM_TTL`; a site (a /48, or everybody behind an unknown proxy) holds 16 times as many. Of `MAX_CODES` a client holds an eighth at most, a site a half. 0 sets no limit, and lifts these shares",
  },
  {
    variable: "MAX_CODES",
    key: "maxCodes",
    schema: wholeNumber(1, 10_000_000),
    default: "1000000",
    help: "Codes at a time, live and resting, past which minting is refused with 503",
  },
  {
    variable: "REDEEM_FAILURES",
    key: "redeemFailures",
    schema: wholeNumber(0, maxCount),
    default: "10",
    help: "Failed redeems of one client within `REDEEM_WINDOW` (of a site, 16 times as many), past which it is refused with 429; 0 sets no limit",
  },
  {
    variable: "REDEEM_WINDOW",
    key: "redeemWindowMs",
    schema: duration("1s", "24h"),
    default: "10m",
    help: "For how long failed redeems count, and how long the first refusal lasts",
  },
] as const satisfies readonly Setting[];
