import { StartError } from "../../base/errors.ts";
import { ReplyError } from "./resp.ts";

/** Why there is no connection that will do, in the words of `/readyz`. Names nothing of the operator's. */
export type FaultKind =
  | "cannot be reached"
  | "gives no answer"
  | "closes the connection"
  | "certificate not trusted"
  | "wrong password"
  | "password missing"
  | "not permitted"
  | "still loading"
  | "is a replica"
  | "no longer primary"
  | "will not do"
  | "no primary known"
  | "subscriber hears nothing";

/** A connection that came to nothing. The message names the server and the remedy, for the log. */
export class RedisFault extends StartError {
  constructor(
    readonly kind: FaultKind,
    message: string,
  ) {
    super(message);
  }
}

/** Whom a connection went to, and which setting corrects it. */
export interface Destination {
  /** `host:port`. */
  readonly name: string;
  readonly secure: boolean;
  readonly ca: string | undefined;
  /** The setting that holds the address: `REDIS_URL`. */
  readonly setting: string;
  /** The setting that holds the password. */
  readonly passwordSetting: string;
}

/** What an error of `openResp`, or of a conversation, says about the server. */
export function explained(error: unknown, to: Destination): RedisFault {
  if (error instanceof RedisFault) return error;
  if (error instanceof ReplyError) return refused(error.message, to);
  const { name, secure, setting } = to;
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (/CERT|SIGNATURE|ISSUER|ALTNAME/.test(code)) {
    const remedy = to.ca === undefined ? "Name its authority's file in" : "Correct";
    return new RedisFault(
      "certificate not trusted",
      `The certificate of Redis at ${name} is not trusted (${code}). ${remedy} REDIS_CA_FILE.`,
    );
  }
  if (
    /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|FailedToOpenSocket)$/.test(code)
  ) {
    return new RedisFault(
      "cannot be reached",
      `Redis at ${name} cannot be reached (${code}). Start it, or correct ${setting}.`,
    );
  }
  const remedy = secure
    ? "If it does not speak TLS, REDIS_URL has to begin with redis://"
    : "If it expects TLS, REDIS_URL has to begin with rediss://";
  return code === "ETIMEDOUT"
    ? new RedisFault(
        "gives no answer",
        `Redis at ${name} gives no answer: it hangs, or a firewall is in between. ${remedy}.`,
      )
    : new RedisFault(
        "closes the connection",
        `Redis at ${name} ends the connection without an answer. ${remedy}.`,
      );
}

function refused(message: string, { name, setting, passwordSetting }: Destination): RedisFault {
  const [kind = ""] = message.split(" ");
  switch (kind) {
    case "WRONGPASS":
      return new RedisFault(
        "wrong password",
        `Redis at ${name} does not accept the user and password in ${passwordSetting}. Correct them.`,
      );
    case "NOAUTH":
      return new RedisFault(
        "password missing",
        `Redis at ${name} asks for a password. Put it into ${passwordSetting}${
          passwordSetting === "REDIS_URL" ? `: redis://:password@${name}` : ""
        }.`,
      );
    case "NOPERM":
      return new RedisFault(
        "not permitted",
        `The user in ${passwordSetting} may not ask Redis at ${name} for INFO. Grant it +@all on its keys and channels.`,
      );
    case "LOADING":
      return new RedisFault(
        "still loading",
        `Redis at ${name} is still loading its data. Start again shortly.`,
      );
    default:
      return new RedisFault(
        "will not do",
        `Redis at ${name} refuses: ${message}. Correct ${setting} or its rights.`,
      );
  }
}
