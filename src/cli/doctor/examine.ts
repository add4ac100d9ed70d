import type { Clock } from "../../base/clock.ts";
import { NoAnswer } from "./ask.ts";
import * as entry from "./entry-steps.ts";
import { Examination, type OptionalSteps, type Verdict } from "./examination.ts";
import * as http from "./http-steps.ts";
import * as ice from "./ice-steps.ts";
import * as socket from "./socket-steps.ts";
import type { Target } from "./target.ts";

interface Step {
  readonly name: string;
  /** Answers an empty list when there is nothing to try. */
  readonly take: (it: Examination) => Promise<Verdict | readonly Verdict[]>;
  /** If it fails, the steps below it in its table are not taken. */
  readonly isVital?: true;
}

/** If a vital one fails, the examination ends. */
const entrySteps: readonly Step[] = [
  { name: "Name", take: entry.resolvesName, isVital: true },
  { name: "Certificate", take: entry.checksCertificate, isVital: true },
  { name: "Ready", take: entry.isReady, isVital: true },
  { name: "Each ready", take: entry.isEachReady },
  { name: "Mint", take: http.mints, isVital: true },
  { name: "Redeem", take: http.redeems, isVital: true },
  { name: "No cache", take: http.redeemsAnew },
];

const socketSteps: readonly Step[] = [
  { name: "Socket A", take: (it) => socket.opensSocket(it, "A"), isVital: true },
  { name: "Socket B", take: (it) => socket.opensSocket(it, "B"), isVital: true },
  { name: "Room", take: socket.announcesRoom, isVital: true },
  { name: "Relay", take: socket.relaysBytes, isVital: true },
  { name: "Round trip", take: socket.measuresRoundTrip, isVital: true },
  { name: "One socket", take: socket.pairsByFrames },
  { name: "ICE servers", take: ice.givesIceServers },
  { name: "STUN", take: (it) => ice.servesIce(it, "stun") },
  { name: "TURN", take: (it) => ice.servesIce(it, "turn") },
  { name: "Idle", take: socket.staysOpen },
];

const proxySteps: readonly Step[] = [
  { name: "Address", take: http.seesClient },
  { name: "Host", take: http.seesHost },
  { name: "Origin", take: http.admitsOrigin },
  { name: "Metrics", take: http.keepsMetrics },
];

/**
 * Does what two clients do, step by step, and reports each step as it ends. Answers whether all
 * passed. Mints two codes for a minute; no step counts as a failed redeem.
 */
export async function examine(
  target: Target,
  optional: OptionalSteps,
  clock: Clock,
  report: (step: string, verdict: Verdict) => void,
  resolve = entry.addressesOf,
): Promise<boolean> {
  const it = new Examination(target, optional, clock, resolve);
  let allPassed = true;

  /** Whether every vital step passed. */
  async function take(steps: readonly Step[]): Promise<boolean> {
    for (const { name, take, isVital } of steps) {
      const verdicts = [await take(it).catch(unanswered)].flat();
      for (const verdict of verdicts) report(name, verdict);
      if (verdicts.every(({ ok }) => ok)) continue;
      allPassed = false;
      if (isVital) return false;
    }
    return true;
  }

  try {
    if (!(await take(entrySteps))) return false;
    await take(socketSteps);
  } finally {
    for (const socket of it.sockets) socket.close();
  }
  await take(proxySteps);
  return allPassed;
}

function unanswered(error: unknown): Verdict {
  if (error instanceof NoAnswer) return error.verdict;
  throw error;
}
