import type { Client } from "../admission/clients.ts";
import type { Clock } from "../base/clock.ts";
import type { AppId, Side } from "../base/ids.ts";
import type { MaybePromise } from "../base/maybe-promise.ts";
import type { SharedBudget } from "../base/shared-budget.ts";
import type { IceServer } from "../config/ice-formats.ts";
import type { Engine } from "../engine/engine.ts";
import type { Tally } from "../telemetry/tally.ts";
import type { LargeFrames } from "./large-frames.ts";

/** What every peer of a server shares. */
export interface SignalingContext {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly tally: Tally;
  readonly heartbeatMs: number;
  readonly wsMaxMsgBytes: number;
  /** Frames a second that one peer may send; 0: no limit, on large frames neither. */
  readonly framesPerSec: number;
  readonly largeFrames: LargeFrames;
  /** Bytes of frames that wait to be handled. */
  readonly queued: SharedBudget;
  /** What a welcome tells of; missing where nothing is set up. Never rejects. */
  readonly iceServers?: (
    appId: AppId,
    side: Side,
    client?: Client,
  ) => MaybePromise<readonly IceServer[]>;
}
