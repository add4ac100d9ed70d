import { parseArgs } from "node:util";
import { systemClock } from "../../base/clock.ts";
import { parseDuration } from "../../base/duration.ts";
import { messageOf } from "../../base/errors.ts";
import { terminalText } from "../../base/terminal-text.ts";
import type { Command } from "../commands.ts";
import { connectDirectly } from "../healthcheck.ts";
import type { OptionalSteps, Verdict } from "./examination.ts";
import { parseTarget, type Target } from "./target.ts";

const nameWidth = 11;
const maxIdleMs = 3_600_000;

export const doctor: Command = {
  name: "doctor",
  summary: "Check a server as its clients see it, and explain what is wrong",
  usage: "URL [--origin URL] [--idle 60s] [--insecure]",
  options: [
    ["--origin URL", "Check that pages of this origin may connect"],
    ["--idle 60s", "Check that a silent connection stays open that long"],
    ["--insecure", "Accept a certificate that is not trusted"],
  ],
  takesSettings: false,
  async run(args) {
    const call = readCall(args);
    if (typeof call === "string") {
      process.stderr.write(`${call} Use it like: nt-signal doctor https://signal.example.com\n`);
      return 2;
    }
    connectDirectly();
    // Loaded late: the server does not need it.
    const { examine } = await import("./examine.ts");
    let warnings = 0;
    const isSound = await examine(call.target, call, systemClock, (step, verdict) => {
      if (verdict.ok && verdict.warning !== undefined) warnings++;
      process.stdout.write(`${stepLines(step, verdict).join("\n")}\n`);
    });
    process.stdout.write(`\n${conclusion(isSound, warnings, call)}\n`);
    return isSound ? 0 : 1;
  },
};

/** What to do, or what is wrong with the arguments. */
function readCall(args: readonly string[]): (OptionalSteps & { readonly target: Target }) | string {
  let given: ReturnType<typeof parse>;
  try {
    given = parse(args);
  } catch (error) {
    // Only the first sentence: the second is about arguments that start with a dash.
    return `${messageOf(error).split(". ", 1)}.`;
  }
  const { insecure = false, origin: page, idle } = given.values;
  const [url, more] = given.positionals;
  if (url === undefined) return "The URL of the server is missing.";
  if (more !== undefined) return `Unknown argument ${JSON.stringify(more)}.`;
  const target = parseTarget(url, insecure);
  if (target === undefined) return `${JSON.stringify(url)} is not the URL of a server.`;

  const origin = page === undefined ? undefined : URL.parse(page)?.origin;
  if (page !== undefined && (origin === undefined || origin === "null")) {
    return `--origin ${JSON.stringify(page)} is not an origin such as https://app.example.com.`;
  }
  const idleMs = idle === undefined ? undefined : (parseDuration(idle) ?? 0);
  if (idleMs !== undefined && !(idleMs > 0 && idleMs <= maxIdleMs)) {
    return `--idle ${JSON.stringify(idle)} is not a duration up to 1h, such as 60s.`;
  }
  return { target, origin, idleMs };
}

function parse(args: readonly string[]) {
  const options = {
    insecure: { type: "boolean" },
    origin: { type: "string" },
    idle: { type: "string" },
  } as const;
  return parseArgs({ args: [...args], options, allowPositionals: true });
}

/** The texts may quote the examined server, which must not control the terminal. */
function stepLines(step: string, verdict: Verdict): readonly string[] {
  const line = `${verdict.ok ? "✓" : "✗"} ${step.padEnd(nameWidth)} ${terminalText(verdict.found)}`;
  const more = verdict.ok ? verdict.warning : verdict.remedy;
  if (more === undefined) return [line];
  return [line, `${" ".repeat(nameWidth + 3)}→ ${terminalText(more)}`];
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
