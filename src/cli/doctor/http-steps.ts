import { inUrl, isLoopback } from "../../base/network.ts";
import { type Answer, ask, askUpgrade, post, severalServers, wrongAnswer } from "./ask.ts";
import { type Examination, failed, passed, type Verdict } from "./examination.ts";
import { isNear, type Target } from "./target.ts";

export async function mints(it: Examination): Promise<Verdict> {
  const answer = await post(it.target, "/rendezvous/code", { ttl: 60 });
  const { code, appID: appId } = answer.json;
  if (answer.status !== 200 || typeof code !== "string" || typeof appId !== "string") {
    return wrongAnswer(answer, it.target);
  }
  it.room = { code, appId };
  return passed(`got a code of ${code.length} digits`);
}

export async function redeems({ target, room }: Examination): Promise<Verdict> {
  const answer = await post(target, "/rendezvous/redeem", { code: room.code });
  const { appID } = answer.json;
  if (answer.status === 410) return failed("the new code is not known", severalServers);
  if (answer.status !== 200 || typeof appID !== "string") return wrongAnswer(answer, target);
  if (appID !== room.appId) return failed("the code led to another room", severalServers);
  return passed("the code led to its room");
}

/**
 * Whether redeems are answered by the server and not by a cache. An invalid code does not count as a
 * failed redeem of this client; a second redeem of the same code would.
 */
export async function redeemsAnew({ target }: Examination): Promise<Verdict> {
  const answer = await post(target, "/rendezvous/redeem", { code: "not a code" });
  if (answer.status === 400) return passed("each redeem reaches the server");
  if (answer.status !== 200) return wrongAnswer(answer, target);
  return failed(
    "an invalid code was redeemed",
    "A cache may answer for the server: pass POST requests on.",
  );
}

/** Headers that proxies add to answers, and nt-signal does not. */
const proxyMarks = ["via", "server", "x-served-by", "cf-ray", "x-cache"];

function isMarked({ headers }: Answer): boolean {
  return proxyMarks.some((name) => headers.has(name));
}

/** Whether the server can tell its clients apart: the limits of one client depend on it. */
export async function seesClient({ target }: Examination): Promise<Verdict> {
  const answer = await ask(target, `${target.http}/rendezvous/whoami`);
  if (answer.status === 404) return passed("the server does not say which address it sees");
  const { address, header, fault, shared } = answer.json;
  if (answer.status !== 200 || typeof address !== "string") return wrongAnswer(answer, target);
  const name = typeof header === "string" ? header : undefined;
  const found = `the server sees you as ${address}${name === undefined ? "" : ` through ${name}`}`;
  if (typeof fault === "string") {
    const which = name ?? "the header that names the client";
    const remedy =
      "Let the proxy set X-Forwarded-For, or the header that CLIENT_IP_HEADER names, to the client's address.";
    const all = `the server sees you as ${address}, which is a proxy's address: ${which} is ${fault}, and all clients count as one`;
    const isDirect = fault === "missing" && isLoopback(target.host) && !isMarked(answer);
    return isDirect ? passed(all, `Ask through the proxy. ${remedy}`) : failed(all, remedy);
  }
  if (shared === true) {
    return failed(
      `${found}, and all other clients too`,
      "There is a proxy in front of it that it does not trust. Set TRUST_PROXY to the proxy's address, or to private.",
    );
  }
  if (name !== undefined || !comesThroughProxy(target, answer, address)) return passed(found);
  return failed(
    `${found}, which is a proxy's address`,
    "No header names the client. Let the proxy set X-Forwarded-For, and set TRUST_PROXY to the proxy's address.",
  );
}

/** Shown by a proxy's header, or by a loopback address that a server on a public address sees. */
function comesThroughProxy({ host }: Target, answer: Answer, address: string): boolean {
  return isMarked(answer) || (!isNear(host) && isLoopback(address));
}

const hostRemedy =
  "The server recognises its own pages by the Host header. Let the proxy pass it on with its port: in nginx, proxy_set_header Host $http_host.";

/** Whether the server gets the Host header as it was sent: it recognises its own pages by it. */
export async function seesHost({ target, room }: Examination): Promise<Verdict> {
  const headers = { origin: target.origin };
  const answer = await ask(target, `${target.http}/rendezvous/whoami`, { headers });
  if (isOriginRefused(answer)) return failed("the server refuses pages of its own", hostRemedy);
  if (!(await upgradeAdmits(target, room.appId, target.origin))) {
    return failed(
      "WebSockets of the server's own pages are refused",
      "The proxy passes the Host header on for HTTP, but not for /ws: in nginx, proxy_set_header Host $http_host there too.",
    );
  }
  const { host } = answer.json;
  if (typeof host !== "string") return passed("the server does not say which Host it sees");
  const plain = new URL(target.origin).host;
  const full = `${inUrl(target.host)}:${target.port}`;
  if ([plain, full].includes(host.toLowerCase())) return passed(`the server sees the Host ${host}`);
  return passed(
    `the server sees the Host ${host} instead of ${plain}`,
    `${hostRemedy} For now every page may connect (DEV=true, or CORS_ORIGINS=*); otherwise its own would be refused.`,
  );
}

/** Whether pages of the origin may mint and redeem codes, and open WebSockets. */
export async function admitsOrigin(it: Examination): Promise<Verdict | readonly []> {
  const { target, room } = it;
  const { origin } = it.optional;
  if (origin === undefined) return [];
  const answer = await ask(target, `${target.http}/rendezvous/redeem`, {
    method: "OPTIONS",
    headers: {
      origin,
      "access-control-request-method": "POST",
      "access-control-request-headers": "content-type",
    },
  });
  const allowed = answer.headers.get("access-control-allow-origin");
  const headers = answer.headers.get("access-control-allow-headers")?.toLowerCase() ?? "";
  const isFine = answer.status < 300 && /\*|content-type/.test(headers);
  if (!isOriginRefused(answer) && !(isFine && (allowed === origin || allowed === "*"))) {
    return failed(
      `browsers keep pages of ${origin} from redeeming codes (OPTIONS is answered ${answer.status}, Access-Control-Allow-Origin: ${allowed ?? "missing"})`,
      "A proxy answers OPTIONS itself, or adds CORS headers of its own. Let it pass both on: nt-signal answers them.",
    );
  }
  if (!isOriginRefused(answer) && (await upgradeAdmits(target, room.appId, origin))) {
    return passed(`pages of ${origin} may mint and redeem codes`);
  }
  return failed(
    `pages of ${origin} are refused`,
    `Add ${origin} to CORS_ORIGINS. Scheme, host and port have to be the page's.`,
  );
}

function isOriginRefused({ status, json }: Answer): boolean {
  return status === 403 && json["code"] === "origin_refused";
}

/** A proxy may treat headers differently on its route for WebSockets. */
async function upgradeAdmits(target: Target, appId: string, origin: string): Promise<boolean> {
  return (await askUpgrade(target, `/ws?appID=${appId}&side=A`, { origin }))?.status !== 403;
}

/** Whether everybody can read the metrics, at their usual path. */
export async function keepsMetrics({ target }: Examination): Promise<Verdict> {
  for (const place of new Set([target.origin, target.http])) {
    const answer = await ask(target, `${place}/metrics`);
    if (answer.status !== 200 || !/^nt_\w+/m.test(answer.text)) continue;
    const isAtHome = isLoopback(target.host) && !isMarked(answer);
    if (isAtHome) return passed("/metrics is open, but was read on the machine itself");
    return passed(
      "/metrics is open",
      "Everybody who reaches this address can read them. Set METRICS_TOKEN, or let the proxy add X-Forwarded-For.",
    );
  }
  return passed("/metrics is not open");
}
