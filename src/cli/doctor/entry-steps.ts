import { lookup } from "node:dns/promises";
import { once } from "node:events";
import { connect, type TLSSocket } from "node:tls";
import { isLoopback } from "../../base/network.ts";
import { ask, connectionFault, NoAnswer, timeoutMs, wrongAnswer } from "./ask.ts";
import { type Examination, failed, passed, type Verdict } from "./examination.ts";
import type { Target } from "./target.ts";

const dayMs = 86_400_000;
/** Renewal programs renew a month before the end. With fewer days left, the renewal has failed. */
const warnDays = 14;

/** All addresses of a name; of this machine's own name only the one that is tried first. */
export async function addressesOf(host: string): Promise<readonly string[]> {
  const found = await lookup(host, { all: !isLoopback(host) });
  return [found].flat().map(({ address }) => address);
}

/** Whether the host's name has addresses, and which. */
export async function resolvesName(it: Examination): Promise<Verdict> {
  const { host, isAddress } = it.target;
  if (isAddress) {
    it.addresses = [host];
    return passed(`${host} is an address; there is no name to look up`);
  }
  try {
    it.addresses = await it.resolve(host);
    return passed(`${host} is ${it.addresses.join(", ")}`);
  } catch {
    return failed(
      `${host} has no address`,
      "Is the name spelt right? If it is new, its DNS record may be missing or not yet known here.",
    );
  }
}

/** Whether clients would trust the server's certificate, and for how long. */
export async function checksCertificate({
  target,
  clock,
}: Examination): Promise<Verdict | readonly []> {
  if (!target.secure) return [];
  const socket = await shakeHands(target);
  const { valid_to } = socket.getPeerCertificate();
  // A code of OpenSSL. Empty: clients accept the certificate.
  const objection = String(socket.authorizationError ?? "");
  const protocol = socket.getProtocol() ?? "TLS";
  socket.destroy();
  const leftMs = Date.parse(valid_to) - clock.now();
  const until = new Date(valid_to).toISOString().slice(0, 10);
  const days = Math.floor(leftMs / dayMs);
  if (leftMs <= 0) {
    return failed(
      `the certificate expired on ${until}`,
      "Renew it. The server has to read the new files; a restart makes sure of that.",
    );
  }
  if (objection !== "" && !target.insecure) return untrusted(objection, target);
  const soon = `It expires in ${days} days: see why it has not been renewed.`;
  const unchecked = `Other clients would refuse it (${objection}): accepted here because of --insecure.`;
  const warning = objection !== "" ? unchecked : days < warnDays ? soon : undefined;
  return passed(`${protocol}, certificate valid until ${until} (${days} days)`, warning);
}

function untrusted(objection: string, { host }: Target): Verdict {
  if (/SELF_SIGNED/.test(objection)) {
    return failed(
      "the certificate is self-signed",
      "Browsers refuse it. Get one from an authority such as Let's Encrypt; to try the rest with this one, add --insecure.",
    );
  }
  if (/ALTNAME/.test(objection)) {
    return failed(
      `the certificate is not for ${host}`,
      "Use one of the names it was made for, or have this one added to it; to try the rest, add --insecure.",
    );
  }
  return failed(
    `the certificate is not trusted (${objection})`,
    "The server may not send its whole chain: put the issuer's certificates after its own in TLS_CERT_FILE. To try the rest, add --insecure.",
  );
}

/** Accepts any certificate: a bad one must not look like a server without TLS. Throws NoAnswer. */
async function shakeHands(target: Target): Promise<TLSSocket> {
  const { host, port, isAddress } = target;
  const name = isAddress ? {} : { servername: host };
  const socket = connect({ host, port, ...name, rejectUnauthorized: false });
  try {
    await once(socket, "secureConnect", { signal: AbortSignal.timeout(timeoutMs) });
    return socket;
  } catch (error) {
    socket.destroy();
    throw new NoAnswer(connectionFault(error, target));
  }
}

/** Whether the server accepts clients. */
export async function isReady({ target }: Examination): Promise<Verdict> {
  const ready = await readiness(target);
  if (ready.ok || target.secure) return ready;
  try {
    (await shakeHands(target)).destroy();
  } catch {
    return ready;
  }
  const https = target.http.replace("http:", "https:");
  return failed(`port ${target.port} speaks TLS, not plain HTTP`, `Try ${https}`);
}

/** Whether the server at each of the name's addresses accepts clients. */
export function isEachReady({ target, addresses }: Examination): Promise<readonly Verdict[]> {
  const several = addresses.length > 1 ? addresses : [];
  return Promise.all(
    several.map(async (address) => {
      const verdict = await readiness(target, address);
      const found = `${address}: ${verdict.found}`;
      if (verdict.ok || !address.includes(":")) return { ...verdict, found };
      return passed(
        found,
        "Clients with IPv6 try this address first. This machine may have no IPv6.",
      );
    }),
  );
}

/** A proxy may hide /readyz: that is only a warning. */
async function readiness(target: Target, address?: string): Promise<Verdict> {
  try {
    const answer = await ask(target, `${target.http}/readyz`, { address });
    if (answer.json["ready"] === true) return passed("the server accepts clients");
    if (target.basePath === "" || answer.status === 503) return wrongAnswer(answer, target);
    const atRoot = await ask(target, `${target.origin}/readyz`, { address });
    if (atRoot.json["ready"] === true) return passed("the server accepts clients");
  } catch (error) {
    if (error instanceof NoAnswer) return error.verdict;
    throw error;
  }
  return passed(
    "/readyz cannot be reached through this URL",
    "Many proxies do not pass /readyz on; nothing is wrong if the other steps pass.",
  );
}
