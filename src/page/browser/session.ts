import type { Side } from "../../client/client.ts";

/** What a tab has to remember to be the same client after a reload. */
export interface Session {
  readonly appId: string;
  readonly side: Side;
  readonly sid: string;
  /** The last mail shown. */
  readonly deliveredUpTo: number;
  /** The code for the other side, until it is there. */
  readonly code?: string;
  /** When the code ends, by this device's clock. */
  readonly expiresAtMs?: number;
}

const key = "nt-signal";

/** This tab's session; undefined when it has none, or the browser forbids to keep one. */
export function savedSession(): Session | undefined {
  try {
    const text = sessionStorage.getItem(key);
    return text === null ? undefined : (JSON.parse(text) as Session);
  } catch {
    return undefined;
  }
}

/** Keeps the session for a reload, or forgets it. If the browser forbids that, a reload starts again. */
export function saveSession(session: Session | undefined): void {
  try {
    if (session === undefined) sessionStorage.removeItem(key);
    else sessionStorage.setItem(key, JSON.stringify(session));
  } catch {
    // Private windows of some browsers.
  }
}
