import type { Clock } from "../../base/clock.ts";
import type { IceServer } from "../../protocol/frames.ts";
import type { Target } from "./target.ts";

/** Steps that are taken only when asked for. */
export interface OptionalSteps {
  /** A page's origin that has to be allowed. */
  readonly origin?: string | undefined;
  /** How long a connection without frames has to stay open. */
  readonly idleMs?: number | undefined;
}

/** What the steps know, and what earlier steps leave for later ones. */
export class Examination {
  /** Set by Name. */
  addresses: readonly string[] = [];
  /** Set by Mint. Both are secrets: never shown. */
  room = { code: "", appId: "" };
  /** Set by Socket A and Socket B. */
  declare a: DoctorSocket;
  declare b: DoctorSocket;
  /** Set by ICE servers. User names and credentials are secrets: never shown. */
  iceServers: readonly IceServer[] = [];
  /** All that were opened; closed before the last steps. */
  readonly sockets: DoctorSocket[] = [];

  constructor(
    readonly target: Target,
    readonly optional: OptionalSteps,
    readonly clock: Clock,
    readonly resolve: (host: string) => Promise<readonly string[]>,
  ) {}
}

export interface DoctorSocket {
  send(text: string): void;
  /** The next frame of one of these types. Undefined when it is late; then no more is read. */
  next(...types: string[]): Promise<string | undefined>;
  readonly closed: Promise<void>;
  close(): void;
}

/** What one step found. */
export interface Verdict {
  readonly ok: boolean;
  readonly found: string;
  /** After a failure the likely cause and what to do, else what deserves a look although it works. */
  readonly advice: string | undefined;
}

export function passed(found: string, advice?: string): Verdict {
  return { ok: true, found, advice };
}

export function failed(found: string, advice: string): Verdict {
  return { ok: false, found, advice };
}
