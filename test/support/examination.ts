import { systemClock } from "../../src/base/clock.ts";
import type { OptionalSteps, Verdict } from "../../src/cli/doctor/examination.ts";
import { examine } from "../../src/cli/doctor/examine.ts";
import { parseTarget } from "../../src/cli/doctor/target.ts";

export interface Examination {
  readonly sound: boolean;
  readonly steps: readonly string[];
  /** The step that failed first, what was found and what to do. */
  readonly failure: string;
  readonly warnings: string;
  /** All that the terminal would show. */
  readonly output: string;
}

/** What the doctor says of a server. */
export async function examination(
  url: string,
  insecure = false,
  clock = systemClock,
  optional: OptionalSteps = {},
  resolve?: (host: string) => Promise<readonly string[]>,
): Promise<Examination> {
  const target = parseTarget(url, insecure);
  if (target === undefined) throw new Error(`${url} is no target`);
  const steps: string[] = [];
  let [failure, warnings, output] = ["", "", ""];
  const report = (step: string, { ok, found, advice }: Verdict) => {
    steps.push(step);
    output += `${step}: ${found}\n${advice ?? ""}\n`;
    if (!ok) failure ||= `${step}: ${found}. ${advice}`;
    else if (advice !== undefined) warnings += `${step}: ${advice}\n`;
  };
  const sound = await examine(target, optional, clock, report, resolve);
  return { sound, steps, failure, warnings, output };
}
