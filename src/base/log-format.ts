/** How log lines look. `auto` is pretty on a terminal and JSON everywhere else. */
export const logFormats = ["auto", "json", "pretty"] as const;
export type LogFormat = (typeof logFormats)[number];
