/** How much of a client's address the log shows: all of it, its network, or nothing. */
export const logClientModes = ["full", "prefix", "none"] as const;
export type LogClientMode = (typeof logClientModes)[number];
