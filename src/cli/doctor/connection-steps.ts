import { lookup } from "node:dns/promises";
import { connect as connectPlain, type Socket } from "node:net";
import { connect as connectTls, type PeerCertificate, type TLSSocket } from "node:tls";
import type { Cancel, Clock } from "../../base/clock.ts";
import { formatDuration } from "../../base/duration.ts";
import type { Side } from "../../base/ids.ts";
import { inUrl, isLoopback } from "../../base/network.ts";
import { fieldOf } from "./http-steps.ts";
import {
  connectionFault,
  type Failed,
  failed,
  passed,
  type Target,
  type Verdict,
} from "./target.ts";

const timeoutMs = 10_000;
const dayMs = 86_400_000;
/** Renewal programs renew a month before the end: what is left with less has gone wrong. */
const warnDays = 14;

/** The addresses of a name; of this machine's own name the one that is tried first. */
export async function addressesOf(host: string): Promise<readonly string[]> {
  const found = await lookup(host, { all: !isLoopback(host) });
  return [found].flat().map(({ address }) => address);
}

/** Whether the host's name leads to addresses, and to which. */
export async function resolvesName(
  { host, isAddress }: Target,
  resolve: typeof addressesOf,
): Promise<Verdict<readonly string[]>> {
  if (isAddress) {
    return { ...passed(`${host} is an address; there is no name to look up`), value: [host] };
  }
  try {
    const value = await resolve(host);
    return { ...passed(`${host} is ${value.join(", ")}`), value };
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
export async function checksCertificate(target: Target, clock: Clock): Promise<Verdict> {
  let handshake: Handshake;
  try {
    handshake = await shakeHands(target, clock);
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

/** Whether the port speaks TLS, whatever the scheme of the URL. */
export async function speaksTls(target: Target, clock: Clock): Promise<boolean> {
  try {
    await shakeHands(target, clock);
    return true;
  } catch {
    return false;
  }
}

/** Accepts any certificate, to tell a bad one from none. */
function shakeHands(target: Target, clock: Clock): Promise<Handshake> {
  return new Promise((resolve, reject) => {
    const socket = dialTls({ ...target, insecure: true });
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

/** One side of the room, kept until the examination is over. */
interface DoctorSocket extends Disposable {
  send(text: string): void;
  readonly closed: Promise<void>;
  /** The next frame that `wanted` accepts, others are skipped; undefined when none comes in time. */
  next(wanted: (text: string) => boolean): Promise<string | undefined>;
}

/** Both sides of one room. */
interface Pair {
  readonly a: DoctorSocket;
  readonly b: DoctorSocket;
}

const roundTrips = 5;

/** Opens one side of the room, and where that fails finds out why. */
export async function opensSocket(
  target: Target,
  appId: string,
  side: Side,
  clock: Clock,
): Promise<Verdict<DoctorSocket>> {
  const path = `/ws?appID=${appId}&side=${side}`;
  const socket = await openSocket(target, path, clock);
  if (socket !== undefined) return { ...passed(`side ${side} is open`), value: socket };
  const status = await upgradeStatus(target, path, clock);
  return refusedUpgrade(status, target);
}

function refusedUpgrade(status: number | undefined, { basePath }: Target): Failed {
  if (status === undefined) {
    return failed(
      "the WebSocket does not open, and nothing is answered",
      "Something on the way drops WebSocket connections: a firewall, or a proxy that waits for a body.",
    );
  }
  const found = `the WebSocket upgrade is answered ${status} instead of 101`;
  switch (status) {
    case 101:
      return failed(
        "the WebSocket opens and is closed at once",
        "A proxy may pass the upgrade on but not what follows: let it hand both directions through, unbuffered.",
      );
    case 403:
      return failed(
        found,
        "A rule of a proxy or firewall forbids it: nt-signal admits all upgrades without an Origin header.",
      );
    case 404:
      return failed(
        found,
        `The proxy does not pass ${basePath}/ws on to the server: give it the same route as ${basePath}/rendezvous/.`,
      );
    case 429:
      return failed(
        found,
        "Too many upgrades for one client: see WS_RATE_PER_MIN, SOCKETS_PER_CLIENT.",
      );
    case 503:
      return failed(
        found,
        "The server is full or stopping: see MAX_ROOMS, MAX_SOCKETS and its log.",
      );
    case 200:
    case 400:
    case 426:
    case 502:
      return failed(
        found,
        "A proxy in between does not pass on the upgrade. nginx needs proxy_http_version 1.1 and the headers Upgrade and Connection; others have a switch for WebSockets.",
      );
    default:
      return failed(
        found,
        "See the log of the server and of whatever proxy stands in front of it.",
      );
  }
}

/** Whether each side hears that the other is there. */
export async function announcesRoom({ a, b }: Pair): Promise<Verdict> {
  const frames = await Promise.all([a, b].map((side) => side.next(isOfType("room_full"))));
  if (frames.every((frame) => frame !== undefined))
    return passed("each side hears that the other is there");
  return failed(
    "the sides do not hear of each other",
    "Both sockets may have reached different servers: run one behind this address, or give all of them the same store.",
  );
}

/** Odd spacing, order and escapes: to parse and serialise it changes something. */
const odd = '{ "sdp":"v=0\\r\\n\\u00e9 \u00e9",  "type":"offer","n":1.0 }';

export async function relaysBytes({ a, b }: Pair): Promise<Verdict> {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.send(odd);
    const got = await to.next(isOfType("offer"));
    if (got === odd) continue;
    return failed(
      got === undefined ? "a frame does not arrive" : "a frame is changed on its way",
      "Something between the peers and the server looks into WebSocket messages. Switch that off for this route.",
    );
  }
  return passed("frames arrive byte for byte, both ways");
}

/** From A to B and back: both ways through the server. */
export async function measuresRoundTrip({ a, b }: Pair): Promise<Verdict> {
  const times: number[] = [];
  for (let trip = 0; trip < roundTrips; trip++) {
    const startedAt = performance.now();
    a.send(`{"type":"ice","trip":${trip}}`);
    if ((await b.next(isOfType("ice"))) === undefined) break;
    b.send(`{"type":"ice","trip":${trip}}`);
    if ((await a.next(isOfType("ice"))) === undefined) break;
    times.push(performance.now() - startedAt);
  }
  if (times.length < roundTrips) {
    return failed(
      "frames stop arriving",
      "Something between the peers and the server ends or delays the connection: see its limits.",
    );
  }
  const median = times.toSorted((x, y) => x - y)[Math.floor(roundTrips / 2)] ?? 0;
  return passed(`${median.toFixed(1)} ms from side to side and back (median of ${roundTrips})`);
}

/** Whether a connection without any frame stays open for `idleMs`. */
export async function staysOpen({ a, b }: Pair, idleMs: number, clock: Clock): Promise<Verdict> {
  const startedAt = clock.monotonicMs();
  const stayed = await new Promise<boolean>((resolve) => {
    const cancel = clock.after(idleMs, () => resolve(true));
    void Promise.race([a.closed, b.closed]).then(() => {
      cancel();
      resolve(false);
    });
  });
  const found = formatDuration(Math.ceil((clock.monotonicMs() - startedAt) / 1_000) * 1_000);
  if (!stayed) {
    return failed(
      `an idle connection is cut after ${found}`,
      "A proxy or balancer ends what is silent for so long. Let it wait for longer than HEARTBEAT (20s by default): in nginx, proxy_read_timeout 60s.",
    );
  }
  a.send(odd);
  if ((await b.next(isOfType("offer"))) === odd)
    return passed(`idle connections last for ${found}`);
  return failed(
    `after ${found} of silence a frame does not arrive`,
    "A firewall, NAT or balancer forgets what is silent for so long. Let it remember for longer than HEARTBEAT (20s by default).",
  );
}

/** Whether the WebSocket opens for pages of this origin; parked or seated, it is closed at once. */
export async function upgradeAdmits(
  target: Target,
  appId: string,
  origin: string,
  clock: Clock,
): Promise<boolean> {
  const path = `/ws?appID=${appId}&side=A`;
  return (await upgradeStatus(target, path, clock, origin)) !== 403;
}

function isOfType(type: string): (text: string) => boolean {
  return (text) => {
    try {
      return fieldOf(JSON.parse(text), "type") === type;
    } catch {
      return false;
    }
  };
}

/** Undefined when the socket doesn't open within `timeoutMs`. */
function openSocket(target: Target, path: string, clock: Clock): Promise<DoctorSocket | undefined> {
  const options = { tls: { rejectUnauthorized: !target.insecure } };
  const socket = new WebSocket(`${target.ws}${path}`, options as never);
  const texts: string[] = [];
  let look: () => void = () => {};
  socket.addEventListener("message", ({ data }) => {
    texts.push(String(data));
    look();
  });

  const closed = new Promise<void>((resolve) => {
    socket.addEventListener("close", () => resolve());
  });

  const opened: DoctorSocket = {
    send: (text) => socket.send(text),
    closed,
    next(wanted) {
      return new Promise((resolve) => {
        const end = (text: string | undefined) => {
          cancel();
          look = () => {};
          resolve(text);
        };
        const cancel: Cancel = clock.after(timeoutMs, () => end(undefined));
        look = () => {
          for (let text = texts.shift(); text !== undefined; text = texts.shift()) {
            if (wanted(text)) return end(text);
          }
          if (socket.readyState !== WebSocket.OPEN) end(undefined);
        };
        socket.addEventListener("close", () => look());
        look();
      });
    },
    [Symbol.dispose]: () => socket.close(1000),
  };
  return new Promise((resolve) => {
    const cancel = clock.after(timeoutMs, () => socket.close());
    socket.addEventListener("open", () => {
      cancel();
      resolve(opened);
    });
    socket.addEventListener("close", () => {
      cancel();
      resolve(undefined);
    });
  });
}

/**
 * The status that an upgrade of `path` is answered with, which WebSocket clients do not show. Undefined
 * when no HTTP answer comes within `timeoutMs`.
 */
function upgradeStatus(
  target: Target,
  path: string,
  clock: Clock,
  origin?: string,
): Promise<number | undefined> {
  return new Promise((resolve) => {
    const socket = dial(target);
    const end = (status: number | undefined) => {
      cancel();
      resolve(status);
      socket.destroy();
    };
    const cancel = clock.after(timeoutMs, () => end(undefined));
    let head = "";
    socket.on(target.secure ? "secureConnect" : "connect", () =>
      socket.write(handshake(target, path, origin)),
    );
    socket.on("data", (chunk: Buffer) => {
      head += chunk.toString("latin1");
      const line = /^HTTP\/1\.[01] (\d{3})[^\n]*\n/.exec(head);
      if (line !== null) end(Number(line[1]));
    });
    socket.on("error", () => end(undefined));
    socket.on("close", () => end(undefined));
  });
}

function dial(target: Target): Socket {
  const { host, port, secure } = target;
  return secure ? dialTls(target) : connectPlain({ host, port });
}

function dialTls({ host, port, isAddress, insecure }: Target): TLSSocket {
  const name = isAddress ? {} : { servername: host };
  return connectTls({ host, port, ...name, rejectUnauthorized: !insecure });
}

/** RFC 6455 section 4.1. */
function handshake({ host, port, basePath }: Target, path: string, origin?: string): string {
  return [
    `GET ${basePath}${path} HTTP/1.1`,
    `Host: ${inUrl(host)}:${port}`,
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    // Any 16 bytes will do: only caches could be fooled by a key that comes again.
    "Sec-WebSocket-Key: bnQtc2lnbmFsIGRvYy4uLg==",
    ...(origin === undefined ? [] : [`Origin: ${origin}`]),
    "",
    "",
  ].join("\r\n");
}
