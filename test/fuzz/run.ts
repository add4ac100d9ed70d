import { chance } from "../support/chance.ts";
import { call } from "./callers.ts";
import { rogues } from "./rogues.ts";
import { type Health, startSubject } from "./subject.ts";

export interface FuzzOptions {
  readonly seed: number;
  readonly frames: number;
  readonly requests: number;
  /** Frames a batch, and a tenth as many requests; after each, everything is checked. */
  readonly batch: number;
  /** Hears how far it is. */
  readonly onBatch?: (done: Progress) => void;
}

export interface Progress extends Health {
  readonly batches: number;
  readonly frames: number;
  readonly requests: number;
}

/**
 * Sends a server of its own all kinds of nonsense and checks after each batch that it took no
 * harm. Batch n of a run is drawn from seed + n, so that it can be run again by itself.
 */
export async function fuzz(options: FuzzOptions): Promise<Progress> {
  const { seed, batch, onBatch } = options;
  await using subject = await startSubject();
  const left = { frames: options.frames, requests: options.requests };
  let done: Progress = { batches: 0, frames: 0, requests: 0, rssMib: 0, rooms: 0, heard: 0 };
  {
    await using sockets = rogues(`ws://${subject.url.host}`);
    while (left.frames > 0 || left.requests > 0) {
      const draws = chance(seed + done.batches);
      const frames = Math.min(left.frames, batch);
      const requests = Math.min(left.requests, Math.ceil(batch / 10));
      try {
        if (frames > 0) await sockets.send(draws, frames);
        if (requests > 0) await call(subject.url, draws, requests);
        const health = await subject.check();
        done = {
          ...health,
          batches: done.batches + 1,
          frames: done.frames + frames,
          requests: done.requests + requests,
        };
      } catch (error) {
        const again = `--seed ${seed + done.batches} --frames ${frames} --requests ${requests} --batch ${batch}`;
        throw new Error(`${String(error)}\nTo see it again: npm run fuzz -- ${again}`);
      }
      left.frames -= frames;
      left.requests -= requests;
      onBatch?.(done);
    }
  }
  await subject.empty();
  return done;
}
