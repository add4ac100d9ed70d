import type { Clock } from "../../base/clock.ts";
import { checksCertificate } from "./certificate.ts";
import { isReady, mints, redeems, redeemsOnce } from "./codes.ts";
import { resolvesName } from "./name.ts";
import { announcesRoom, measuresRoundTrip, opensSocket, relaysBytes } from "./sockets.ts";
import type { Target } from "./target.ts";
import type { Verdict } from "./verdict.ts";
import { seesClient } from "./whoami.ts";

/** Hears of each step as it ends. */
export type Tell = (step: string, verdict: Verdict<unknown>) => void;

const tlsTimeoutMs = 10_000;

/**
 * Does what two clients do, step by step, and ends at the first failure that leaves the steps after
 * it without meaning. Whether all passed.
 */
export async function examine(target: Target, clock: Clock, tell: Tell): Promise<boolean> {
  let allPassed = true;
  const step = async <T>(name: string, found: Promise<Verdict<T>>): Promise<Verdict<T>> => {
    const verdict = await found;
    tell(name, verdict);
    if (!verdict.ok) allPassed = false;
    return verdict;
  };

  if (!(await step("Name", resolvesName(target))).ok) return false;
  if (target.secure) {
    const trusted = await step("Certificate", checksCertificate(target, clock, tlsTimeoutMs));
    if (!trusted.ok) return false;
  }
  if (!(await step("Ready", isReady(target))).ok) return false;
  const minted = await step("Mint", mints(target));
  if (!minted.ok) return false;
  if (!(await step("Redeem", redeems(target, minted.value))).ok) return false;
  await step("Only once", redeemsOnce(target, minted.value));
  await sockets();
  await step("Address", seesClient(target));
  return allPassed;

  async function sockets(): Promise<void> {
    if (!minted.ok) return;
    const { appId } = minted.value;
    const openedA = await step("Socket A", opensSocket(target, appId, "A", clock));
    if (!openedA.ok) return;
    using a = openedA.value;
    const openedB = await step("Socket B", opensSocket(target, appId, "B", clock));
    if (!openedB.ok) return;
    using b = openedB.value;
    const pair = { a, b };
    if (!(await step("Room", announcesRoom(pair))).ok) return;
    if (!(await step("Relay", relaysBytes(pair))).ok) return;
    await step("Round trip", measuresRoundTrip(pair));
  }
}
