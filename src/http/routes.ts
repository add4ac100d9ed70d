import type { MaybePromise } from "../base/maybe-promise.ts";

export type Handler = (request: Request) => MaybePromise<Response>;

/** Where the parts of the HTTP surface put what they answer. The origin rule holds for all of it. */
export interface Routes {
  /** Answers HEAD as well. */
  get(path: string, handle: Handler): void;
  post(path: string, handle: Handler): void;
}
