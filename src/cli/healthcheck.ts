import { codeOf, messageOf } from "../base/errors.ts";
import { isLoopback, ownAddress } from "../base/network.ts";
import { terminalText } from "../base/terminal-text.ts";
import { type Config, requireConfig } from "../config/config.ts";
import type { Command } from "./help.ts";

const timeoutMs = 3_000;

/** For images without a shell, and for systemd units that restart a server that hangs. */
export const healthcheck: Command = {
  name: "healthcheck",
  summary: "Ask the server with the same settings whether it is healthy",
  options: [["--ready", "Ask whether it accepts new clients, not only whether it runs"]],
  takesSettings: true,
  async run(args, env) {
    connectDirectly();
    const ofSettings = args.filter((arg) => arg !== "--ready");
    const path = args.includes("--ready") ? "/readyz" : "/healthz";
    const fault = await unhealthy(requireConfig(env, ofSettings).config, path);
    if (fault === undefined) return 0;
    process.stderr.write(`${fault}\n`);
    return 1;
  },
};

/**
 * From now on `fetch` ignores the proxies in the environment (HTTP_PROXY): it has to reach this
 * machine, or the server that is examined, and has no option for that.
 */
export function connectDirectly(): void {
  process.env["NO_PROXY"] = "*";
  process.env["no_proxy"] = "*";
}

/** Why the server is not healthy, on one line. Undefined when it is. Takes 3 s at most. */
async function unhealthy(
  config: Pick<Config, "host" | "port" | "tlsCertFile" | "tlsSelfSigned">,
  path: "/healthz" | "/readyz",
): Promise<string | undefined> {
  if (config.port === 0) {
    return "PORT=0 lets the server choose a port, so it is unknown here. Set PORT to a certain one.";
  }
  const host = ownAddress(config.host);
  const scheme = config.tlsCertFile === "" && !config.tlsSelfSigned ? "http" : "https";
  const url = `${scheme}://${host}:${config.port}${path}`;
  try {
    const answer = await fetch(url, {
      signal: AbortSignal.timeout(timeoutMs),
      redirect: "manual",
      // No certificate names a loopback address, and on loopback there is no third party.
      tls: { rejectUnauthorized: !isLoopback(host) },
    });
    const body = await answer.text();
    if (answer.status === 200) return undefined;
    return `${url} answers ${answer.status}: ${terminalText(body.slice(0, 200).replaceAll(/\s+/g, " "))}`;
  } catch (error) {
    return `${url} does not answer: ${whyNot(error)}`;
  }
}

function whyNot(error: unknown): string {
  if (error instanceof Error && error.name === "TimeoutError") {
    return `nothing within ${timeoutMs / 1_000} s`;
  }
  const code = codeOf(error);
  if (code === "ConnectionRefused" || code === "ECONNREFUSED") return "nothing listens there";
  if (code === "ECONNRESET" || code === "ConnectionClosed") {
    return "the connection was closed; set TLS_CERT_FILE and TLS_KEY_FILE as the server has them";
  }
  return messageOf(error);
}
