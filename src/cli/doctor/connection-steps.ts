import { lookup } from "node:dns/promises";
import { connect, type PeerCertificate } from "node:tls";
import type { Clock } from "../../base/clock.ts";
import type { Target } from "./target.ts";
import { connectionFault, failed, passed, type Verdict } from "./verdict.ts";

const dayMs = 86_400_000;
/** Renewal programs renew a month before the end: what is left with less has gone wrong. */
const warnDays = 14;

/** Whether the host's name leads to an address. */
export async function resolvesName({ host, isAddress }: Target): Promise<Verdict> {
  if (isAddress) return passed(`${host} is an address; there is no name to look up`);
  try {
    const found = await lookup(host, { all: true });
    return passed(`${host} is ${found.map(({ address }) => address).join(", ")}`);
  } catch {
    return failed(
      `${host} has no address`,
      "Is the name spelt right? If it is new, its DNS record may be missing or not yet known here.",
    );
  }
}

interface Handshake {
  readonly certificate: PeerCertificate;
  /** Why a client would refuse it, as a code of OpenSSL. Undefined when none would. */
  readonly objection: string | undefined;
  readonly protocol: string;
}

/** Whether clients would trust the server's certificate, and for how long. */
export async function checksCertificate(
  target: Target,
  clock: Clock,
  timeoutMs: number,
): Promise<Verdict> {
  let handshake: Handshake;
  try {
    handshake = await shakeHands(target, clock, timeoutMs);
  } catch (error) {
    return connectionFault(error, target);
  }
  const { certificate, objection, protocol } = handshake;
  const leftMs = Date.parse(certificate.valid_to) - clock.now();
  const until = new Date(certificate.valid_to).toISOString().slice(0, 10);
  const days = Math.floor(leftMs / dayMs);
  if (leftMs <= 0) {
    return failed(
      `the certificate expired on ${until}`,
      "Renew it. The server has to read the new files; a restart does that at the latest.",
    );
  }
  if (objection !== undefined && !target.insecure) return untrusted(objection, target);
  const soon = `It expires in ${days} days: see why it has not been renewed.`;
  const unchecked = `It would be refused by others (${objection}): --insecure lets it pass.`;
  const warning = objection === undefined ? (days < warnDays ? soon : undefined) : unchecked;
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

/** Whether TLS is spoken there, whatever a URL says. */
export async function speaksTls(target: Target, clock: Clock, timeoutMs: number): Promise<boolean> {
  try {
    await shakeHands(target, clock, timeoutMs);
    return true;
  } catch {
    return false;
  }
}

/** Shakes hands with whatever certificate, so that a bad one can be told apart from none. */
function shakeHands(
  { host, port, isAddress }: Target,
  clock: Clock,
  timeoutMs: number,
): Promise<Handshake> {
  return new Promise((resolve, reject) => {
    const name = isAddress ? {} : { servername: host };
    const socket = connect({ host, port, ...name, rejectUnauthorized: false });
    const late = Object.assign(new Error("timeout"), { code: "ETIMEDOUT" });
    const cancel = clock.after(timeoutMs, () => socket.destroy(late));
    socket.on("secureConnect", () => {
      const certificate = socket.getPeerCertificate();
      const objection = objectionTo(socket.authorizationError);
      resolve({ certificate, objection, protocol: socket.getProtocol() ?? "TLS" });
      socket.destroy();
    });
    const closed = Object.assign(new Error("closed"), { code: "ECONNRESET" });
    socket.on("close", () => {
      cancel();
      reject(closed);
    });
    socket.on("error", reject);
  });
}

function objectionTo(error: Error | string | null | undefined): string | undefined {
  if (error === null || error === undefined) return undefined;
  if (typeof error === "string") return error;
  return "code" in error ? String(error.code) : error.message;
}
