import type { Clock } from "../../base/clock.ts";
import { NoAnswer } from "./ask.ts";
import {
  addressesOf,
  checksCertificate,
  isEachReady,
  isReady,
  resolvesName,
} from "./entry-steps.ts";
import { Examination, type OptionalSteps, type Verdict } from "./examination.ts";
import {
  admitsOrigin,
  keepsMetrics,
  mints,
  redeems,
  redeemsAnew,
  seesClient,
  seesHost,
} from "./http-steps.ts";
import { givesIceServers, servesIce } from "./ice-steps.ts";
import {
  announcesRoom,
  measuresRoundTrip,
  opensSocket,
  relaysBytes,
  staysOpen,
} from "./socket-steps.ts";
import type { Target } from "./target.ts";

interface Step {
  readonly name: string;
  readonly take: (it: Examination) => Promise<Verdict | readonly Verdict[]>;
  /** Taken only then; always by default. */
  readonly when?: (it: Examination) => boolean;
  /** If it fails, the steps below it in its table are pointless. */
  readonly isVital?: true;
}

/** If a vital one fails, the examination ends. */
const entrySteps: readonly Step[] = [
  { name: "Name", take: resolvesName, isVital: true },
  {
    name: "Certificate",
    take: checksCertificate,
    when: ({ target }) => target.secure,
    isVital: true,
  },
  { name: "Ready", take: isReady, isVital: true },
  { name: "Each ready", take: isEachReady, when: ({ addresses }) => addresses.length > 1 },
  { name: "Mint", take: mints, isVital: true },
  { name: "Redeem", take: redeems, isVital: true },
  { name: "No cache", take: redeemsAnew },
];

const socketSteps: readonly Step[] = [
  { name: "Socket A", take: (it) => opensSocket(it, "A"), isVital: true },
  { name: "Socket B", take: (it) => opensSocket(it, "B"), isVital: true },
  { name: "Room", take: announcesRoom, isVital: true },
  { name: "Relay", take: relaysBytes, isVital: true },
  { name: "Round trip", take: measuresRoundTrip, isVital: true },
  { name: "ICE servers", take: givesIceServers },
  { name: "STUN", take: (it) => servesIce(it, "stun") },
  { name: "TURN", take: (it) => servesIce(it, "turn") },
  { name: "Idle", take: staysOpen, when: ({ optional }) => optional.idleMs !== undefined },
];

const proxySteps: readonly Step[] = [
  { name: "Address", take: seesClient },
  { name: "Host", take: seesHost },
  { name: "Origin", take: admitsOrigin, when: ({ optional }) => optional.origin !== undefined },
  { name: "Metrics", take: keepsMetrics },
];

/**
 * Does what two clients do, step by step, and reports each step as it ends. Answers whether all
 * passed. Mints one code for a minute; no step counts as a failed redeem.
 */
export async function examine(
  target: Target,
  optional: OptionalSteps,
  clock: Clock,
  report: (step: string, verdict: Verdict) => void,
  resolve = addressesOf,
): Promise<boolean> {
  const it = new Examination(target, optional, clock, resolve);
  let allPassed = true;

  /** Whether every vital step passed. */
  async function take(steps: readonly Step[]): Promise<boolean> {
    for (const { name, take, when, isVital } of steps) {
      if (when !== undefined && !when(it)) continue;
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
    it.a?.close();
    it.b?.close();
  }
  await take(proxySteps);
  return allPassed;
}

function unanswered(error: unknown): Verdict {
  if (error instanceof NoAnswer) return error.verdict;
  throw error;
}
