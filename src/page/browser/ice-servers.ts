import { type IceServer, iceServers } from "../../client/client.ts";
import type { Session } from "./session.ts";

/**
 * The ICE servers to use right now: those of the welcome while their credentials are valid. Else
 * they are asked for, as by the side that minted the code: it was welcomed before it was redeemed.
 */
export class IceServers {
  private known: readonly IceServer[] = [];
  private asked = false;

  constructor(
    private readonly url: string,
    private readonly session: Session,
  ) {}

  /** From a welcome. One without credentials doesn't replace those that still hold. */
  received(servers: readonly IceServer[]): void {
    if (servers.some(hasCredential) || !this.usable()) this.known = servers;
  }

  async current(): Promise<readonly IceServer[]> {
    if (this.usable()) return this.known;
    if (this.asked && !this.known.some(hasCredential)) return this.known;
    this.asked = true;
    const { appId, side } = this.session;
    try {
      this.known = (await iceServers(this.url, appId, side)).iceServers;
    } catch {
      // Refused or unreachable: a connection without TURN is still worth a try.
      this.known = this.known.filter((server) => !hasCredential(server));
    }
    return this.known;
  }

  private usable(): boolean {
    const now = Date.now() - (this.session.clockAheadMs ?? 0);
    return this.known.some(hasCredential) && this.known.every((server) => expiry(server) > now);
  }
}

function hasCredential({ credential }: IceServer): boolean {
  return credential !== undefined;
}

/** ms since the epoch, by the server's clock. User names made by the server begin with that second. */
function expiry({ username }: IceServer): number {
  const seconds = /^(\d{9,}):/.exec(username ?? "")?.[1];
  return seconds === undefined ? Number.POSITIVE_INFINITY : Number(seconds) * 1000;
}
