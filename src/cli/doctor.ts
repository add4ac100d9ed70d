import { systemClock } from "../base/clock.ts";
import { terminalText } from "../base/terminal-text.ts";
import type { Command } from "./command.ts";
import { connectDirectly } from "./direct.ts";
import { parseTarget } from "./doctor/target.ts";
import type { Verdict } from "./doctor/verdict.ts";

const nameWidth = 11;

export const doctor: Command = {
  name: "doctor",
  summary: "Try a server from a client's side, and tell what is wrong with it",
  usage: "URL [--insecure]",
  options: [["--insecure", "Go on with a certificate that nobody vouches for"]],
  takesSettings: false,
  async run(args) {
    const [url, ...others] = args.filter((arg) => arg !== "--insecure");
    const wrong = others[0] ?? (url?.startsWith("-") ? url : undefined);
    if (wrong !== undefined) return usageError(`Unknown argument ${JSON.stringify(wrong)}.`);
    if (url === undefined) return usageError("The URL of the server is missing.");
    const target = parseTarget(url, args.includes("--insecure"));
    if (target === undefined) return usageError(`${JSON.stringify(url)} is no URL of a server.`);

    connectDirectly();
    // Loaded here: whoever serves needs none of it.
    const { examine } = await import("./doctor/examine.ts");
    const isSound = await examine(target, systemClock, (step, verdict) => {
      process.stdout.write(`${stepLines(step, verdict).join("\n")}\n`);
    });
    process.stdout.write(`\n${isSound ? "All is well." : "Something is wrong: see above."}\n`);
    return isSound ? 0 : 1;
  },
};

/** The server examined has a say in these words, and none over the terminal. */
function stepLines(step: string, verdict: Verdict<unknown>): readonly string[] {
  const line = `${verdict.ok ? "✓" : "✗"} ${step.padEnd(nameWidth)} ${terminalText(verdict.told)}`;
  const more = verdict.ok ? verdict.warning : verdict.remedy;
  if (more === undefined) return [line];
  return [line, `${" ".repeat(nameWidth + 3)}→ ${terminalText(more)}`];
}

function usageError(fault: string): number {
  process.stderr.write(`${fault} Use it like: nt-signal doctor https://signal.example.com\n`);
  return 2;
}
