import { z } from "zod/mini";
import { isPrivate } from "../../base/address.ts";
import { type IceUrl, parseIceUrl } from "../../config/ice-formats.ts";
import { type IceServer, iceServer } from "../../protocol/frames.ts";
import { post, wrongAnswer } from "./ask.ts";
import { type Examination, failed, passed, type Verdict } from "./examination.ts";
import { allocate, bind } from "./stun.ts";
import { isNear } from "./target.ts";

/** The ICE servers that side A gets, whose socket is open. */
export async function givesIceServers(it: Examination): Promise<Verdict> {
  const answer = await post(it.target, "/rendezvous/ice", { appID: it.room.appId, side: "A" });
  if (answer.status === 404) return passed("this server has none");
  const { data } = z.array(z.object(iceServer.shape)).safeParse(answer.json["iceServers"]);
  if (answer.status !== 200 || data === undefined) return wrongAnswer(answer, it.target);
  it.iceServers = data;
  const urls = data.flatMap((server) => server.urls);
  const found = urls.length === 0 ? "none are set" : urls.join(", ");
  const hasTurn = urls.some((text) => /^turns?:/i.test(text));
  return passed(
    found,
    hasTurn ? undefined : "Without TURN some pairs of networks never connect: see TURN_URLS.",
  );
}

/** Whether each STUN server answers with an address, and each TURN server relays, as for a peer. */
export function servesIce(it: Examination, scheme: "stun" | "turn"): Promise<readonly Verdict[]> {
  const asked = it.iceServers.flatMap((server) =>
    [server.urls]
      .flat()
      .filter((text) => /^turn/i.test(text) === (scheme === "turn"))
      .map((text) => serves(it, text, server)),
  );
  return Promise.all(asked);
}

async function serves(it: Examination, text: string, server: IceServer): Promise<Verdict> {
  const url = parseIceUrl(text);
  // Browsers do not speak DTLS to a server either.
  const isDtls = url?.isSecure && url.transport === "udp";
  if (url === undefined || isDtls) return passed(`${text} is not tried`);
  const { username = "", credential = "" } = server;
  if (url.isTurn && (username === "" || credential === "")) {
    return failed(`${text} comes without a credential`, "Give it one in ICE_SERVERS.");
  }
  const answer = url.isTurn ? await allocate(url, it, username, credential) : await bind(url, it);
  if (answer === undefined) return silent(text, url);
  if ("code" in answer) return failed(`${text} refuses with ${answer.code}`, remedyOf(answer.code));
  if (!url.isTurn) return passed(`${text} answers with an address`);
  const { address } = answer;
  const isHidden = isPrivate(address) && !isNear(url.host) && !isNear(it.target.host);
  return passed(
    `${text} relays`,
    isHidden
      ? `It relays at ${address}, which cannot be reached from outside: set its public address (coturn: external-ip).`
      : undefined,
  );
}

function silent(text: string, { isSecure, transport, port }: IceUrl): Verdict {
  const over = isSecure ? "TLS over TCP" : transport.toUpperCase();
  return failed(
    `${text} does not answer`,
    `Is the server running, and is port ${port} open for ${over}?`,
  );
}

/** By an error code of RFC 8489 section 14.8 or RFC 8656 section 19. */
function remedyOf(code: number): string {
  switch (code) {
    case 401:
      return "It does not accept the credentials: TURN_SECRET has to be its secret (coturn: use-auth-secret, static-auth-secret), and both clocks have to be right.";
    case 486:
    case 508:
      return "It has reached a quota of its own: see its limits and its log.";
    default:
      return "See the log of the STUN or TURN server.";
  }
}
