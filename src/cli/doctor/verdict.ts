import type { Target } from "./target.ts";

/** What one step of an examination found. `T` is what the steps after it need. */
export type Verdict<T = undefined> = Passed<T> | Failed;

export interface Passed<T> {
  readonly ok: true;
  readonly told: string;
  /** What is not wrong yet. */
  readonly warning?: string;
  readonly value: T;
}

export interface Failed {
  readonly ok: false;
  readonly told: string;
  /** The likely cause, and what to do. */
  readonly remedy: string;
}

export function passed(told: string, warning?: string): Passed<undefined> {
  return { ok: true, told, value: undefined, ...(warning === undefined ? {} : { warning }) };
}

export function failed(told: string, remedy: string): Failed {
  return { ok: false, told, remedy };
}

/** What it means when no answer came at all. */
export function connectionFault(error: unknown, { host, port, secure }: Target): Failed {
  const where = `${host}, port ${port}`;
  const code = codeOf(error);
  if (code === "TimeoutError" || code === "ETIMEDOUT") {
    return failed(
      `nothing came from ${where} in time`,
      "A firewall may swallow packets to this port, or the machine is down. Open the port, and try from another network.",
    );
  }
  if (code === "ECONNREFUSED" || code === "ConnectionRefused") {
    return failed(
      `connection refused by ${where}`,
      "Nothing listens there. Is the server running, on this port, and on an address that others reach (HOST=0.0.0.0)?",
    );
  }
  if (
    /^(?:ECONNRESET|ConnectionClosed|EPIPE|EPROTO|Malformed_HTTP_Response|ERR_SSL_\w+)$/.test(code)
  ) {
    return failed(
      `${where} does not speak ${secure ? "TLS" : "plain HTTP"} (${code})`,
      secure
        ? "If the server has no certificate, and no proxy has one for it, try http:// or ws://."
        : "See the server's log, and that of whatever proxy stands in front of it.",
    );
  }
  const message = error instanceof Error ? error.message : String(error);
  return failed(
    `no answer from ${where}: ${code === "" ? message : code}`,
    "Check the URL, and that this machine reaches the server's network.",
  );
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return "";
  if (error.name === "TimeoutError") return error.name;
  return "code" in error ? String(error.code) : "";
}
