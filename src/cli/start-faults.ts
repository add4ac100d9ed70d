import { StartError } from "../base/start-error.ts";
import type { Config } from "../config/config.ts";

/**
 * What an error from listening means to the operator. Undefined for one that no setting can cure.
 */
export function startFault(
  error: unknown,
  config: Pick<Config, "host" | "port">,
): StartError | undefined {
  if (error instanceof StartError) return error;
  const { code, syscall } = systemError(error);
  if (code.startsWith("ERR_OSSL_")) {
    return new StartError(
      `The certificate and key in TLS_CERT_FILE and TLS_KEY_FILE cannot be used (${code}). ` +
        "Name a certificate and its RSA, ECDSA or Ed25519 key.",
    );
  }
  if (syscall !== "listen" && syscall !== "getaddrinfo") return undefined;
  if (code === "EADDRINUSE") {
    return new StartError(
      `Port ${config.port} is in use. Stop the program that listens on it, ` +
        "or choose another port with PORT (0 takes any free one).",
    );
  }
  if (code === "EACCES" && config.port > 0 && config.port < 1_024) {
    return new StartError(
      `This user may not listen on port ${config.port}. Choose one above 1023 with PORT, ` +
        "or give the program the capability CAP_NET_BIND_SERVICE.",
    );
  }
  // For a name that doesn't resolve Bun shows whatever error the thread met last: no code tells it.
  return new StartError(
    `Cannot listen on HOST=${JSON.stringify(config.host)}, port ${config.port} (${code}). ` +
      "Set HOST to an address of this machine: 0.0.0.0 for all of IPv4, :: for all there are.",
  );
}

function systemError(error: unknown): { code: string; syscall: string } {
  if (!(error instanceof Error)) return { code: "", syscall: "" };
  return {
    code: "code" in error ? String(error.code) : "",
    syscall: "syscall" in error ? String(error.syscall) : "",
  };
}
