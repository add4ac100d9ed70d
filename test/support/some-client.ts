import type { Client } from "../../src/admission/clients.ts";

/** A client as admission describes one of IPv4. */
export function someClient(key: string, shared = false): Client {
  const accounts = [{ key, kind: shared ? "shared" : "client" }] as const;
  return { address: key, header: undefined, shared, fault: undefined, accounts };
}
