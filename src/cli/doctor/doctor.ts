import { parseArgs } from "node:util";
import { systemClock } from "../../base/clock.ts";
import { parseDuration } from "../../base/duration.ts";
import { messageOf } from "../../base/errors.ts";
import { terminalText } from "../../base/terminal-text.ts";
import { connectDirectly } from "../healthcheck.ts";
import type { Command } from "../help.ts";
import type { OptionalSteps, Verdict } from "./examination.ts";
import { parseTarget, type Target } from "./target.ts";

const nameWidth = 11;
const maxIdleMs = 3_600_000;

export const doctor: Command = {
  name: "doctor",
  summary: "Check a server as its clients see it, and explain what is wrong",
  argument: "URL",
  options: [
    ["--origin URL", "Check that pages of this origin may connect"],
    ["--idle 60s", "Check that a silent connection stays open that long"],
    ["--insecure", "Accept a certificate that is not trusted"],
  ],
  takesSettings: false,
  async run(args) {
    let call: ReturnType<typeof readCall>;
    try {
      call = readCall(args);
    } catch (error) {
      // parseArgs adds a sentence about arguments that start with a dash.
      const fault = messageOf(error).replace(/\. To specify .*$/s, "");
      process.stderr.write(`${fault}. Use it like: nt-signal doctor https://signal.example.com\n`);
      return 2;
    }
    connectDirectly();
    // Loaded late: the server does not need it.
    const { examine } = await import("./examine.ts");
    let warnings = 0;
    const isSound = await examine(call.target, call, systemClock, (step, verdict) => {
      if (verdict.ok && verdict.advice !== undefined) warnings++;
      process.stdout.write(`${stepLines(step, verdict).join("\n")}\n`);
    });
    process.stdout.write(`\n${conclusion(isSound, warnings, call)}\n`);
    return isSound ? 0 : 1;
  },
};

/** Throws an error that says what is wrong with the arguments, without a full stop. */
function readCall(args: readonly string[]): OptionalSteps & { readonly target: Target } {
  const options = {
    insecure: { type: "boolean" },
    origin: { type: "string" },
    idle: { type: "string" },
  } as const;
  const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
  const [url, more] = positionals;
  if (url === undefined) throw new Error("The URL of the server is missing");
  if (more !== undefined) throw new Error(`Unknown argument ${JSON.stringify(more)}`);
  const target = parseTarget(url, values.insecure ?? false);
  if (target === undefined) throw new Error(`${JSON.stringify(url)} is not the URL of a server`);

  const origin = values.origin && URL.parse(values.origin)?.origin;
  if (values.origin !== undefined && (!origin || origin === "null")) {
    const given = JSON.stringify(values.origin);
    throw new Error(`--origin ${given} is not an origin such as https://app.example.com`);
  }
  const idleMs = values.idle === undefined ? undefined : (parseDuration(values.idle) ?? 0);
  if (idleMs !== undefined && !(idleMs > 0 && idleMs <= maxIdleMs)) {
    const given = JSON.stringify(values.idle);
    throw new Error(`--idle ${given} is not a duration up to 1h, such as 60s`);
  }
  return { target, origin, idleMs };
}

/** The texts may quote the examined server, which must not control the terminal. */
function stepLines(step: string, { ok, found, advice }: Verdict): readonly string[] {
  const line = `${ok ? "✓" : "✗"} ${step.padEnd(nameWidth)} ${terminalText(found)}`;
  if (advice === undefined) return [line];
  return [line, `${" ".repeat(nameWidth + 3)}→ ${terminalText(advice)}`];
}

function conclusion(isSound: boolean, warnings: number, { origin, idleMs }: OptionalSteps): string {
  if (!isSound) return "Something is wrong: see above.";
  const untried = [
    ...(origin === undefined ? ["another page's origin (--origin URL)"] : []),
    ...(idleMs === undefined ? ["a silent connection (--idle 60s)"] : []),
  ];
  const rest = untried.length === 0 ? "" : ` Not tried: ${untried.join(", ")}.`;
  if (warnings === 0) return `All is well.${rest}`;
  return `It works; see the ${warnings === 1 ? "remark" : "remarks"} above.${rest}`;
}
