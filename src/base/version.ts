import { version as packageVersion } from "../../package.json";

/** This program's version, as its package says. */
export const version: string = packageVersion;
