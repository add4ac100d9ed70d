import { isPrivate } from "../../base/address.ts";
import type { IceServer } from "./http-steps.ts";
import { type Asking, allocate, bind, type IceUrl, parseIceUrl } from "./stun.ts";
import type { Target } from "./target.ts";
import { type Failed, failed, passed, type Verdict } from "./verdict.ts";

/** Whether one STUN server tells addresses, or one TURN server relays, as a peer would have it. */
export async function servesIce(
  text: string,
  { username, credential }: IceServer,
  target: Target,
  asking: Asking,
): Promise<Verdict> {
  const url = parseIceUrl(text);
  if (url === undefined) return passed(`${text} is not tried`);
  if (!url.isTurn) {
    const answer = await bind(url, asking);
    if (answer.outcome === "address") return passed(`${text} tells addresses`);
    return answer.outcome === "silent" ? silent(text, url) : refused(text, answer.code);
  }
  if (username === undefined || credential === undefined) {
    return failed(`${text} comes without a credential`, "Give it one in ICE_SERVERS.");
  }
  const answer = await allocate(url, { username, credential }, asking);
  if (answer.outcome === "silent") return silent(text, url);
  if (answer.outcome === "refused") return refused(text, answer.code);
  const { address } = answer;
  const isHidden = isPrivate(address) && !isNear(url) && !isNear(target);
  return passed(
    `${text} relays`,
    isHidden
      ? `It relays at ${address}, which nobody reaches from outside: tell it its public address (coturn: external-ip).`
      : undefined,
  );
}

function isNear({ host }: { readonly host: string }): boolean {
  return host === "localhost" || isPrivate(host);
}

function silent(text: string, { transport, port }: IceUrl): Failed {
  const over = transport === "udp" ? "UDP" : transport === "tcp" ? "TCP" : "TLS over TCP";
  return failed(
    `${text} does not answer`,
    `Is the server running, and is port ${port} open for ${over}?`,
  );
}

function refused(text: string, code: number): Failed {
  const told = `${text} refuses with ${code}`;
  switch (code) {
    case 401:
      return failed(
        told,
        "It does not accept the credentials: TURN_SECRET has to be its secret (coturn: use-auth-secret, static-auth-secret), and both clocks have to be right.",
      );
    case 486:
    case 508:
      return failed(told, "It has reached a quota of its own: see its limits and its log.");
    default:
      return failed(told, "See the log of the STUN or TURN server.");
  }
}
