import { type Outcome, type Plan, simulate } from "./world.ts";

const hourMs = 3_600_000;

export interface Found {
  readonly plan: Plan;
  readonly outcome: Outcome & { readonly failure: NonNullable<Outcome["failure"]> };
}

/** Simulates seed after seed for this many simulated hours, or until a promise is broken. */
export function simulateHours(
  { seed, ...plan }: Plan,
  hours: number,
  onSeed: (plan: Plan, outcome: Outcome) => void = () => {},
): Found | undefined {
  let simulatedMs = 0;
  for (let next = seed; simulatedMs < hours * hourMs; next++) {
    const one = { ...plan, seed: next };
    const outcome = simulate(one);
    simulatedMs += outcome.simulatedMs;
    onSeed(one, outcome);
    const { failure } = outcome;
    if (failure !== undefined) return { plan: one, outcome: { ...outcome, failure } };
  }
  return undefined;
}

/** Describes a failure, with the command that reproduces it. */
export function report({ plan, outcome }: Found, commit: string): string {
  const { check, detail, at, history } = outcome.failure;
  return [
    `BROKEN: ${check}: ${detail}`,
    `at ${at}, seed ${plan.seed}, engine ${plan.engine}, commit ${commit}`,
    ...(history.length > 0 ? ["The last that happened in this room:", ...history] : []),
    `Again: ${commandOf(plan)}`,
    "",
  ].join("\n");
}

function commandOf(plan: Plan): string {
  const { seed, engine, withoutFaults, withoutRooms, onlyFaults } = plan;
  const list = (flag: string, left: ReadonlySet<number> | undefined) =>
    left === undefined || left.size === 0 ? "" : ` --${flag} ${rangesOf(left)}`;
  const left = list("without-faults", withoutFaults) + list("without-rooms", withoutRooms);
  const only = onlyFaults === undefined ? "" : ` --faults "${onlyFaults}"`;
  return `npm run sim -- --seed ${seed} --engine ${engine}${left}${only}`;
}

/** `0-4,7` */
function rangesOf(numbers: ReadonlySet<number>): string {
  const ranges: [from: number, to: number][] = [];
  for (const number of [...numbers].sort((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === number - 1) last[1] = number;
    else ranges.push([number, number]);
  }
  return ranges.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(",");
}

export function readRanges(text: string): ReadonlySet<number> {
  const numbers = new Set<number>();
  for (const range of text.split(",").filter((part) => part !== "")) {
    const [from = 0, to = from] = range.split("-").map(Number);
    for (let number = from; number <= to; number++) numbers.add(number);
  }
  return numbers;
}

/** Leaves out rooms and faults as long as the same check still fails. */
export function shrink(found: Found, onStep: (text: string) => void): Found {
  let best = found;
  const stillFails = (change: Partial<Plan>): boolean => {
    const plan = { ...best.plan, ...change };
    const outcome = simulate(plan);
    const { failure } = outcome;
    if (failure?.check !== found.outcome.failure.check) return false;
    best = { plan, outcome: { ...outcome, failure } };
    return true;
  };
  const leaveOut = (key: "withoutFaults" | "withoutRooms", count: number): void => {
    for (let size = Math.ceil(count / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
      for (let from = 0; from < count; from += size) {
        const without = new Set(best.plan[key]);
        const before = without.size;
        for (let i = from; i < Math.min(count, from + size); i++) without.add(i);
        if (without.size > before) stillFails({ [key]: without });
      }
      onStep(`${key}: ${best.plan[key]?.size ?? 0} of ${count}`);
    }
  };
  leaveOut("withoutRooms", found.outcome.rooms);
  leaveOut("withoutFaults", found.outcome.faults.length);
  return best;
}
