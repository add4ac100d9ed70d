import type { Client } from "../../src/admission/clients.ts";

/** A client as admission describes one; it has no site, and a shared one is counted as one. */
export function someClient(key: string, shared = false): Client {
  const accounts = [{ key, isSite: shared }];
  return { key, site: undefined, address: key, header: undefined, shared, accounts };
}
