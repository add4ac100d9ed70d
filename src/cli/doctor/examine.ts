import type { Clock } from "../../base/clock.ts";
import {
  addressesOf,
  announcesRoom,
  checksCertificate,
  measuresRoundTrip,
  opensSocket,
  relaysBytes,
  resolvesName,
  speaksTls,
  staysOpen,
  upgradeAdmits,
} from "./connection-steps.ts";
import {
  admitsOrigin,
  givesIceServers,
  isReady,
  isReadyAt,
  keepsMetrics,
  type Minted,
  mints,
  redeems,
  redeemsAnew,
  refusedOrigin,
  seesClient,
  seesHost,
} from "./http-steps.ts";
import { servesIce } from "./ice-steps.ts";
import { failed, type Target, type Verdict } from "./target.ts";

/** Steps that are taken only when asked for. */
export interface OptionalSteps {
  /** A page's origin that has to be allowed. */
  readonly origin?: string | undefined;
  /** For how long a connection on which nothing is said has to stay open. */
  readonly idleMs?: number | undefined;
}

const iceTimeoutMs = 5_000;

/**
 * Does what two clients do, step by step, and reports each step as it ends. Stops at a failure that
 * makes the following steps pointless. Answers whether all passed. Mints one code for a minute; no
 * step counts as a failed redeem.
 */
export async function examine(
  target: Target,
  { origin, idleMs }: OptionalSteps,
  clock: Clock,
  report: (step: string, verdict: Verdict<unknown>) => void,
  resolve = addressesOf,
): Promise<boolean> {
  let allPassed = true;
  const step = async <T>(name: string, found: Promise<Verdict<T>>): Promise<Verdict<T>> => {
    const verdict = await found;
    report(name, verdict);
    if (!verdict.ok) allPassed = false;
    return verdict;
  };

  const named = await step("Name", resolvesName(target, resolve));
  if (!named.ok) return false;
  if (target.secure) {
    const trusted = await step("Certificate", checksCertificate(target, clock));
    if (!trusted.ok) return false;
  }
  if (!(await step("Ready", answersPlainly())).ok) return false;
  for (const address of named.value.length > 1 ? named.value : [])
    await step("Each ready", isReadyAt(target, address));
  const minted = await step("Mint", mints(target));
  if (!minted.ok) return false;
  if (!(await step("Redeem", redeems(target, minted.value))).ok) return false;
  await step("No cache", redeemsAnew(target));
  await sockets(minted.value);
  await step("Address", seesClient(target));
  await step("Host", ownPages(minted.value));
  if (origin !== undefined) await step("Origin", pagesOf(origin, minted.value));
  await step("Metrics", keepsMetrics(target));
  return allPassed;

  async function answersPlainly(): Promise<Verdict> {
    const ready = await isReady(target);
    if (ready.ok || target.secure || !(await speaksTls(target, clock))) return ready;
    const https = target.http.replace("http:", "https:");
    return failed(`port ${target.port} speaks TLS, not plain HTTP`, `Try ${https}`);
  }

  async function sockets(room: Minted): Promise<void> {
    const openedA = await step("Socket A", opensSocket(target, room.appId, "A", clock));
    if (!openedA.ok) return;
    using a = openedA.value;
    const openedB = await step("Socket B", opensSocket(target, room.appId, "B", clock));
    if (!openedB.ok) return;
    using b = openedB.value;
    const pair = { a, b };
    if (!(await step("Room", announcesRoom(pair))).ok) return;
    if (!(await step("Relay", relaysBytes(pair))).ok) return;
    if (!(await step("Round trip", measuresRoundTrip(pair))).ok) return;
    const ice = await step("ICE servers", givesIceServers(target, room));
    for (const server of ice.ok ? ice.value : []) {
      for (const url of server.urls) {
        const asking = { clock, timeoutMs: iceTimeoutMs, insecure: target.insecure };
        const name = /^turn/i.test(url) ? "TURN" : "STUN";
        await step(name, servesIce(url, server, target, asking));
      }
    }
    if (idleMs !== undefined) await step("Idle", staysOpen(pair, idleMs, clock));
  }

  /** A proxy may treat the Host header differently on its route for WebSockets. */
  async function ownPages(room: Minted): Promise<Verdict> {
    const seen = await seesHost(target);
    if (!seen.ok || (await upgradeAdmits(target, room.appId, target.origin, clock))) return seen;
    return failed(
      "WebSockets of the server's own pages are refused",
      "The proxy passes the Host header on for HTTP, but not for /ws: in nginx, proxy_set_header Host $http_host there too.",
    );
  }

  async function pagesOf(page: string, room: Minted): Promise<Verdict> {
    const admitted = await admitsOrigin(target, page);
    if (!admitted.ok || (await upgradeAdmits(target, room.appId, page, clock))) return admitted;
    return refusedOrigin(page);
  }
}
