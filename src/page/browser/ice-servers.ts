import { type IceServer, iceServers } from "../../client/client.ts";
import type { Session } from "./session.ts";

/**
 * The ICE servers to use right now. What a welcome told is used while its credentials last. They
 * are asked for when there are none: who minted the code was welcomed before it was redeemed.
 */
export class IceServers {
  private known: readonly IceServer[] = [];
  private asked = false;

  constructor(
    private readonly url: string,
    private readonly session: Session,
  ) {}

  /** From a welcome. One without credentials doesn't replace those that still hold. */
  told(servers: readonly IceServer[]): void {
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

/** ms since the epoch, by the server's clock. Names made by the server begin with the second in which they end. */
function expiry({ username }: IceServer): number {
  const seconds = /^(\d{9,}):/.exec(username ?? "")?.[1];
  return seconds === undefined ? Number.POSITIVE_INFINITY : Number(seconds) * 1000;
}
