import type { z } from "zod";
import { andThen, type MaybePromise } from "../base/maybe-promise.ts";
import type { Seat } from "../engine/engine.ts";
import { type IceFailure, type IceMode, iceFailures, iceModes } from "../telemetry/tally.ts";
import type { SignalingContext } from "./context.ts";
import type { telemetryFrame } from "./protocol.ts";

/** Counts what a client says about its peer-to-peer connection; its words never become labels. */
export function countTelemetry(
  { engine, tally }: SignalingContext,
  seat: Seat,
  { event, mode, reason }: z.output<typeof telemetryFrame>,
): MaybePromise<void> {
  if (event === "ice-failed") tally.failed[failureOf(reason)]++;
  if (event !== "ice-connected") return;
  return andThen(engine.rooms.establish(seat), (ageMs) => {
    if (ageMs === undefined) return;
    tally.established[modeOf(mode)]++;
    tally.firstFlowSeconds.observe(ageMs / 1000);
  });
}

function modeOf(text: string | undefined): IceMode {
  const name = text?.trim().toLowerCase() ?? "";
  if (name === "") return "unspecified";
  return iceModes.find((mode) => mode === name) ?? "other";
}

function failureOf(text: string | undefined): IceFailure {
  const name = text?.trim().toLowerCase() ?? "";
  if (name === "") return "ice-failed";
  return iceFailures.find((failure) => failure === name) ?? "other";
}
