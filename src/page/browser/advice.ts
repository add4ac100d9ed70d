import { RendezvousError } from "../../client/client.ts";
import { span } from "./amounts.ts";

/**
 * How many ICE candidates of each type (RFC 8445 section 5.1.1) are known. `srflx` is an address that
 * a STUN server saw, `relay` one on a TURN server.
 */
export const noCandidates = { host: 0, srflx: 0, prflx: 0, relay: 0 };
export type CandidateCounts = Readonly<typeof noCandidates>;

/** What is known when a peer connection fails. */
export interface Attempt {
  /** URLs of the ICE servers that were used. */
  readonly iceUrls: readonly string[];
  /** Only TURN may be used. */
  readonly relayOnly: boolean;
  readonly local: CandidateCounts;
  readonly remote: CandidateCounts;
  /** What STUN and TURN servers answered, as the browser reports it; 701: nothing. */
  readonly errors: readonly { readonly url: string; readonly code: number }[];
}

/** Why a connection probably failed, and what helps. */
export function advice(attempt: Attempt): string {
  const { iceUrls, relayOnly, local, remote, errors } = attempt;
  const hasTurn = iceUrls.some((url) => /^turns?:/i.test(url));
  const refused = errors.find(({ url, code }) => /^turns?:/i.test(url) && code === 401);
  if (relayOnly && !hasTurn) {
    return "Opened with ?relay, this page connects over TURN alone, and no TURN server is configured. Open it without ?relay, or set TURN_URLS and TURN_SECRET on the server.";
  }
  if (refused !== undefined && local.relay === 0 && (relayOnly || total(remote) > 0)) {
    return `The TURN server ${refused.url} refused the credentials. Check that TURN_SECRET is its secret, and that the clocks of both servers agree.`;
  }
  if (relayOnly && local.relay === 0) return noRelay;
  if (total(local) === 0 && !relayOnly) {
    return "This browser offered no address to connect to: a VPN, an extension or a policy may keep WebRTC off. Allow WebRTC, or use another browser.";
  }
  if (total(remote) === 0) {
    return "No address came from the other side. Reload the page there, and check that it can reach the server.";
  }
  if (iceUrls.length === 0) {
    return "No ICE server configured: two networks need STUN or TURN. Bring both devices into one network, or set ICE_SERVERS or TURN_URLS on the server.";
  }
  if (!hasTurn) {
    return "These networks block direct connections, and STUN cannot change that: a TURN server is needed. Set TURN_URLS and TURN_SECRET on the server.";
  }
  if (local.relay === 0) return noRelay;
  return "Even the path over the TURN server does not work. Check that its relay ports (49152 to 65535 unless set) are open.";
}

const noRelay =
  "The TURN server gave no address. Check that it can be reached from here, on the port and transport in TURN_URLS.";

export function total({ host, srflx, prflx, relay }: CandidateCounts): number {
  return host + srflx + prflx + relay;
}

/** Why minting or redeeming a code failed, for the person at this page. */
export function faultInWords(error: unknown): string {
  if (!(error instanceof RendezvousError)) return "Something went wrong. Reload the page.";
  const when = error.retryAfterMs === undefined ? "later" : `in ${span(error.retryAfterMs)}`;
  switch (error.code) {
    case "code_gone":
      return "This code doesn’t work: it was never made, is used up or has expired. Ask for a new one.";
    case "code_withdrawn":
      return "Too many wrong codes were tried, so this one is not safe any more. Ask for a new one.";
    case "malformed":
      return "A code has 4 to 8 digits.";
    case "unreachable":
      return "The server cannot be reached. Check your network, then try again.";
    case "rate_limited":
    case "too_many_misses":
    case "shared_misses":
      return `Too many tries from your address. Try again ${when}.`;
    default:
      return `${error.message} (${error.code})`;
  }
}
