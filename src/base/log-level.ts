/** How much is logged: a level lets itself and all that come after it through. */
export const logLevels = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof logLevels)[number];
